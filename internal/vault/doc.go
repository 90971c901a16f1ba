// Package vault encrypts the credentials of desks before they are stored, and
// derives the keys that other parts of the service sign with.
//
// # Keys
//
// A [Vault] holds a ring of root keys. The first seals; all of them open, so
// that a key is rotated by putting a new one in front, sealing everything again
// ([Vault.NeedsReseal] says what is left), and then dropping the old one. No
// root key is used directly: HKDF (RFC 5869) with SHA-256 derives from it one
// key for sealing and one for every other purpose.
//
// # Sealed form
//
//	v1.<key id>.<base64url of nonce, ciphertext and tag>
//
// The cipher is AES-256-GCM with a random nonce of 96 bits. NIST SP 800-38D
// §8.3 allows 2^32 messages under one key with random nonces; a service seals
// one when an administrator saves a desk's credentials.
//
// The authenticated data is the caller's text, usually the id of the row, so
// that a ciphertext copied into another row does not open there.
package vault
