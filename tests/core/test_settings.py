from pathlib import Path

import pytest

from core.settings import Settings, SettingsError

GIVEN = {
    "DATABASE_URL": "postgres://app:pw@db.example:5433/backoffice?sslmode=require",
    "REDIS_URL": "redis://queue.example:6379/0",
    "STRIPE_API_KEY": "sk_test_0123456789",
    "STRIPE_WEBHOOK_SECRET": "whsec_0123456789",
    "SECRET_KEY": "x" * 32,
}


def test_defaults_and_the_normalised_database_url() -> None:
    settings = Settings.from_env(GIVEN)
    assert settings.database_url == "postgresql+psycopg://app:pw@db.example:5433/backoffice?sslmode=require"
    assert settings.migration_database_url == settings.database_url
    assert (settings.port, settings.web_concurrency, settings.threads) == (8000, 2, 16)
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.stripe_api_base is None
    assert settings.demo is False
    assert settings.var_dir == Path("var").absolute()


def test_what_is_given_is_taken() -> None:
    more = {"PORT": "81", "BASE_URL": "https://shop.example/", "BACKOFFICE_DEMO": "yes", "MIGRATION_DATABASE_URL": "postgresql://o@h/d"}
    settings = Settings.from_env(GIVEN | more)
    assert settings.port == 81
    assert settings.base_url == "https://shop.example"
    assert settings.demo is True
    assert settings.migration_database_url == "postgresql+psycopg://o@h/d"


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not set"):
        Settings.from_env({key: value for key, value in GIVEN.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("PORT", "８０"),
        ("WEB_CONCURRENCY", "-1"),
        ("WEB_THREADS", "1.5"),
        ("BACKOFFICE_DEMO", "perhaps"),
        ("DATABASE_URL", "mysql://root@localhost/db"),
        ("DATABASE_URL", "localhost:5432"),
        ("DATABASE_URL", "postgresql://host:port/db"),
        ("DATABASE_URL", "postgresql://user@host"),
        ("REDIS_URL", "localhost:6379"),
        ("STRIPE_API_BASE", "stripe"),
        ("SECRET_KEY", "short"),
    ],
)
def test_a_bad_value_is_one_line_with_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(GIVEN | {name: value})
    assert str(caught.value).startswith(name + " ")
    assert "\n" not in str(caught.value)


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(GIVEN | {"DATABASE_URL": "mysql://root:hunter2@localhost/db", "SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
