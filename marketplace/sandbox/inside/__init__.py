"""Programs that run inside the sandbox. They import nothing of ours but each other and `marketplace.sandbox.mapping`."""
