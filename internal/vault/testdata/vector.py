"""Computes the fixed values of vault_test.go with another implementation.

Needs the package "cryptography". Prints the sealed text and the derived key.
"""

import base64

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(root, info):
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(root)


root = bytes((31 + 7 * i) % 256 for i in range(32))
head = "v1." + derive(root, "handoff/key-id")[:4].hex() + "."
nonce = bytes(range(12))
body = AESGCM(derive(root, "handoff/seal/v1")).encrypt(nonce, b"password", (head + "row-1").encode())
print(head + base64.urlsafe_b64encode(nonce + body).decode().rstrip("="))
print(derive(root, "handoff/derive/user-token").hex())
