package config_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
)

// keyPEM is a private key, of no use to anybody.
func keyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
