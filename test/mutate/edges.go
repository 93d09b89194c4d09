package main

// edges lists the guards of the configuration, of TLS, of the admin listener
// and of the gateway's own pages.
func edges() []Guard {
	return []Guard{
		{
			Name: "secrets by reference", Why: "none stands in the configuration (hospital C9)",
			File: "config/collections.go", Old: "case !ok || !closed:", New: "case !ok || !closed:\n\t\ts.V = Secret{n.Value}\n\tcase false:",
			Package: "cmd/anteroom", Test: "TestScript",
		}, {
			Name: "secrets do not print", Why: "none stands in a log (P2)",
			File: "config/secret.go", Old: "io.WriteString(f, hidden) }", New: "io.WriteString(f, s.value) }",
			Also:    []Edit{{"config/secret.go", "func (Secret) Format(", "func (s Secret) Format("}},
			Package: "config", Test: "TestSecretIsNeverPrinted",
		}, {
			Name: "keys do not print", Why: "none stands in a log (P2)",
			File: "inject/signer.go", Old: "func (*Signer) GoString() string { return \"[secret]\" }", New: "func (s *Signer) GoString() string { return s.keys.Load().key.D.String() }",
			Package: "inject", Test: "TestKeyID",
		}, {
			Name: "a bad file is refused", Why: "the old configuration stays in force (Q4)",
			File: "cmd/gateway/load.go", Old: "if wrong := c.Rehearse(table, time.Now()); len(wrong) > 0 {", New: "if wrong := c.Rehearse(table, time.Now()); len(wrong) > 1000 {",
			Package: "cmd/anteroom", Test: "TestScript",
		}, {
			Name: "a reload whose tests fail", Why: "the routes' own tests stand before every reload (Q4)",
			File: "cmd/gateway/load.go", Old: "if wrong := c.Rehearse(table, time.Now()); len(wrong) > 0 {", New: "if wrong := c.Rehearse(table, time.Now()); len(wrong) > 1000 {",
			Package: "test/contract", Test: "TestReloadThatFailsItsTests",
		}, {
			Name: "TLS versions", Why: "1.0 and 1.1 are broken (D6)",
			File: "listen/tls.go", Old: "MinVersion: version,", New: "MinVersion: tls.VersionTLS10,",
			Package: "listen", Test: "TestHandshakes",
		}, {
			Name: "TLS suites", Why: "CBC is broken (D6)",
			File: "listen/tls.go", Old: "CipherSuites: []uint16{", New: "CipherSuites: []uint16{\n\t\t\ttls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,",
			Package: "listen", Test: "TestHandshakes",
		}, {
			Name: "senders show a certificate", Why: "the listener of senders is theirs alone (D8)",
			File: "listen/mutual.go", Old: "return m.Admit(at.Addr(), state.PeerCertificates)", New: "_ = m.Admit(at.Addr(), state.PeerCertificates)\n\t\t\treturn nil",
			Package: "listen", Test: "TestMutual",
		}, {
			Name: "senders resume nothing", Why: "a ticket outlives an authority (D7)",
			File: "listen/mutual.go", Old: "base.SessionTicketsDisabled = true", New: "",
			Package: "listen", Test: "TestMutualResumesNothing",
		}, {
			Name: "no HTTP/2 without TLS", Why: "an upgrade to h2c is a tunnel past every rule (G2)",
			File: "listen/listen.go", Old: "p.SetHTTP2(http2)", New: "p.SetHTTP2(http2)\n\tp.SetUnencryptedHTTP2(true)",
			Package: "listen", Test: "TestNoPlainHTTP2",
		}, {
			Name: "Host of the admin listener", Why: "a page that rebinds its name reads nothing (Q1)",
			File: "listen/admin.go", Old: "case !known(r.Host), !sameOrigin(r):", New: "case !known(r.Host) && false, !sameOrigin(r):",
			Package: "listen", Test: "TestAdmin",
		}, {
			Name: "origin of the admin listener", Why: "no page reads what it says (Q1)",
			File: "listen/admin.go", Old: "case !known(r.Host), !sameOrigin(r):", New: "case !known(r.Host), !sameOrigin(r) && false:",
			Package: "listen", Test: "TestAdmin",
		}, {
			Name: "pages are not framed", Why: "nobody is made to tap what they do not see (J5)",
			File: "pages/headers.go", Old: "; frame-ancestors \"+ancestors+\"", New: "",
			Package: "pages", Test: "TestWhatIsFramed",
		}, {
			Name: "links of pages", Why: "a page leads nowhere that a script could be (J1)",
			File: "pages/site.go", Old: "if link = safeLink(link); link == \"\" {", New: "if link == \"\" {",
			Package: "pages", Test: "TestLinksThatLeadAstrayAreLeftOut",
		}, {
			Name: "one gateway at a time", Why: "two would write one trail",
			File: "store/lock.go", Old: "if errors.Is(err, syscall.EWOULDBLOCK) {", New: "if errors.Is(err, syscall.EWOULDBLOCK) {\n\t\treturn func() { f.Close() }, nil\n\t}\n\tif errors.Is(err, syscall.EWOULDBLOCK) {",
			Package: "store", Test: "TestLockDir",
		}, {
			Name: "values are sealed on disk", Why: "a copy of the store says nothing",
			File: "store/store.go", Old: "JetStreamKey:           hex.EncodeToString(o.Key),\n", New: "",
			Also:    []Edit{{"store/store.go", "\t\"encoding/hex\"\n", ""}},
			Package: "store", Test: "TestReopen",
		}, {
			Name: "first requests in the drain", Why: "a restart drops nobody who was let in (R3)",
			File: "listen/run.go", Old: "for l.busy() && ctx.Err() == nil {", New: "for false && l.busy() {",
			Package: "listen", Test: "TestDrainAnswersFirstRequests",
		}, {
			Name: "a socket that nothing names", Why: "whoever connects there would wait for ever",
			File: "listen/socket.go", Old: "if len(s.inherited) == 0 {", New: "if true {",
			Package: "listen", Test: "TestInheritedAddresses",
		},
	}
}
