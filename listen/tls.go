package listen

import "crypto/tls"

// tlsConfig follows Mozilla's intermediate guideline: the suites with forward
// secrecy and authenticated encryption, and no others; Go's own list for TLS
// 1.2 still has CBC in it.
//
// Session ticket keys are Go's: made in memory, a new one each day, the old
// ones forgotten within a week. All hosts share them, as they share this one
// configuration; no client certificate is ever bound to a session that can be
// resumed: a listener of [Mutual] makes none.
func tlsConfig(version uint16, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: version,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:       []string{"h2", "http/1.1"},
		GetCertificate:   get,
	}
}
