"""How much a sandboxed program may take."""

from dataclasses import dataclass

from core.settings import Settings

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run. `memory_mb` is address space of each process, `scratch_mb` the size of its `/tmp`, `output_mb` what may come out."""

    cpu_s: int = 20
    wall_s: int = 60
    memory_mb: int = 768
    processes: int = 8
    open_files: int = 64
    scratch_mb: int = 96
    output_mb: int = 32

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that this installation sets."""
        return cls(
            cpu_s=settings.sandbox_cpu_s, wall_s=settings.sandbox_wall_s, memory_mb=settings.sandbox_memory_mb, scratch_mb=settings.sandbox_scratch_mb,
            output_mb=settings.sandbox_output_mb,
        )  # fmt: skip
