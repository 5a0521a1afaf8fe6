"""The key that everything in a test run is sealed with."""

from cryptography.fernet import Fernet

from schema.vault import Vault

SECRET_KEY = Fernet.generate_key().decode()
VAULT = Vault([SECRET_KEY])
