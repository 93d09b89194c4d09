package main

// front lists the guards of the one reading of a request: names, paths, hosts,
// methods, upgrades, and whose word is believed.
func front() []Guard {
	const contract = "test/contract"
	return []Guard{
		{
			Name: "header names by skeleton", Why: "X--Remote-User and XRemoteUser are one name to a backend that folds (A2, A3)",
			File: "headers/names.go", Old: "case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':\n\t\t\tdst", New: "case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-':\n\t\t\tdst",
			Package: contract, Test: "TestHeaderNames",
		}, {
			Name: "alphabet of header names", Why: "what a backend makes of X_App or X.App nobody can foresee (A3, E5)",
			File: "proxy/headers.go", Old: "case !plainName(name) || p.covers(name):", New: "case p.covers(name):",
			Package: contract, Test: "TestHeaderNames",
		}, {
			Name: "protected header names", Why: "a client must not say who it is (A1, A5, A6, B5, B6, B7, B8)",
			File: "proxy/headers.go", Old: "case !plainName(name) || p.covers(name):", New: "case !plainName(name):",
			Package: contract, Test: "TestToTheBackend",
		}, {
			Name: "header names as CGI has them", Why: "HTTP_X_REMOTE_USER is X-Remote-User to a CGI backend (A2)",
			File: "proxy/headers.go", Old: `p.names[s], p.names["http"+s] = true, true`, New: `p.names[s] = true`,
			Package: contract, Test: "TestHeaderNames",
		}, {
			Name: "Connection names no protected header", Why: "hop-by-hop removal would take the identity away (B1, B2)",
			File: "proxy/exchange.go", Old: "if x.state.protection.connectionNames(r.Header) {", New: "if false {",
			Package: contract, Test: "TestConnectionHeaderCannotRemoveIdentity",
		}, {
			Name: "headers that the gateway alone reads", Why: "baggage and trace state of strangers go no further (P3)",
			File: "proxy/headers.go", Old: "return withheld", New: "return passed",
			Package: contract, Test: "TestHeaderNames",
		}, {
			Name: "dot segments", Why: "two servers end up in two places (C1, C2, C4)",
			File: "routes/request.go", Old: `if s == "." || s == ".." {`, New: `if s == "\x00" {`,
			Package: "routes", Test: "TestPathsThatTwoServersCouldReadDifferently",
		}, {
			Name: "control bytes in escapes", Why: "NUL ends a path for some backends (C7, C18)",
			File: "routes/request.go", Old: `if c < ' ' || c == 0x7f || c == '\\' {`, New: `if c == '\\' {`,
			Package: "routes", Test: "TestPathsThatTwoServersCouldReadDifferently",
		}, {
			Name: "escapes that are no text", Why: "overlong UTF-8 decodes to a dot (C10)",
			File: "routes/request.go", Old: `if r == '\uFFFD' || r >= 0x80 && r < 0xa0 {`, New: `if r >= 0x80 && r < 0xa0 {`,
			Package: "routes", Test: "TestPathsThatTwoServersCouldReadDifferently",
		}, {
			Name: "double slashes", Why: "//admin is /admin to some backends (C3)",
			File: "routes/request.go", Old: "(t.DoubleSlash || !used.DoubleSlash)", New: "true",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "escaped slashes", Why: "/a%2fb is /a/b to some backends (C4)",
			File: "routes/request.go", Old: "(t.EncodedSlash || !used.EncodedSlash)", New: "true",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "path parameters", Why: "/admin;x=1 is /admin to Tomcat (C5)",
			File: "routes/request.go", Old: "(t.PathParams || !used.PathParams)", New: "true",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "both readings lead to one route", Why: "a tolerant backend reads what the route above did not (C5)",
			File: "routes/table.go", Old: "|| route != resolved ||", New: "|| resolved == nil ||",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "rules look at both readings", Why: "an ambiguous spelling must not slip past a rule (C5; hospital A5)",
			File: "routes/when.go", Old: " && !w.Path.Match(req.Path.Resolved)", New: "",
			Package: "routes", Test: "TestNeed",
		}, {
			Name: "rules ignore case", Why: "/ORDERS is /orders to some backends (C9; hospital A5)",
			File: "routes/pattern.go", Old: "return a == b || strings.EqualFold(a, b)", New: "_ = strings.EqualFold\n\treturn a == b",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "routes of another case", Why: "/ADMIN must not be governed by the route of / (C9)",
			File: "routes/table.go", Old: "if child == nil && len(n.children) > 0 {", New: "if false {",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "host is the handshake's", Why: "one connection must not carry another host's requests (D2, D7, F6)",
			File: "proxy/front.go", Old: "err != nil || name != host {", New: "err != nil && name != host {",
			Package: contract, Test: "TestOneReadingOfTheTarget",
		}, {
			Name: "no default host", Why: "a host that nobody configured has no route (D1)",
			File: "routes/table.go", Old: "\tif top == nil {\n\t\treturn nil, ErrHost\n\t}\n", New: "\tfor _, n := range t.hosts {\n\t\tif top == nil {\n\t\t\ttop = n\n\t\t}\n\t}\n",
			Package: "routes", Test: "TestMatch",
		}, {
			Name: "target is a path", Why: "an absolute target has a host of its own (C15, C16)",
			File: "proxy/front.go", Old: `case r.URL.Opaque != "" || r.URL.Scheme != "" && r.ProtoMajor == 1 || r.URL.User != nil:`, New: `case r.URL.Opaque == "\x00":`,
			Also: []Edit{
				{"proxy/front.go", `case !strings.HasPrefix(r.RequestURI, "/"):`, `case r.RequestURI == "":`},
				{"proxy/front.go", `strings.Cut(r.RequestURI, "?")`, `strings.Cut(r.URL.RequestURI(), "?")`},
			},
			Package: contract, Test: "TestOneReadingOfTheTarget",
		}, {
			Name: "methods of the route", Why: "only configured methods pass (G7)",
			File: "proxy/exchange.go", Old: "if !slices.Contains(x.route.Methods, x.req.Method) && ", New: "if false && !slices.Contains(x.route.Methods, x.req.Method) && ",
			Package: contract, Test: "TestRefusals",
		}, {
			Name: "known methods", Why: "CONNECT and TRACE never pass (G1, G7)",
			File: "proxy/front.go", Old: "case !knownMethod(r.Method):", New: `case r.Method == "":`,
			Also: []Edit{
				{"proxy/exchange.go", "if !slices.Contains(x.route.Methods, x.req.Method) && ", "if false && !slices.Contains(x.route.Methods, x.req.Method) && "},
			},
			Package: contract, Test: "TestOneReadingOfTheTarget",
		}, {
			Name: "the gateway's own place in any spelling", Why: "nothing under /.anteroom/ is forwarded",
			File: "proxy/gateway.go", Old: "if own(&x.req) {", New: `if strings.HasPrefix(x.req.Path.Escaped, "/.anteroom/") {`,
			Package: contract, Test: "TestReservedPathIsNeverForwarded",
		}, {
			Name: "limit of a header", Why: "a header is bounded, and whoever is over it is told (O3)",
			File: "listen/header.go", Old: "if headerBytes(r) > max {", New: "if headerBytes(r) > 100*max {",
			Package: contract, Test: "TestHeaderLimit",
		}, {
			Name: "no upgrade but WebSocket", Why: "h2c opens a tunnel past every rule (G2, G3)",
			File: "proxy/upgrade.go", Old: "\t\th.Del(\"Upgrade\")\n\t\th.Del(\"Connection\")\n", New: "",
			Package: contract, Test: "TestHandshake",
		}, {
			Name: "WebSocket origin", Why: "another site's script must not speak as its visitor (G6)",
			File: "proxy/upgrade.go", Old: `if origin := h["Origin"]; len(origin) != 1 || `, New: `if origin := h["Origin"]; false && `,
			Package: contract, Test: "TestWebSocket",
		}, {
			Name: "WebSocket version", Why: "only version 13 is known to be framed (G4)",
			File: "proxy/upgrade.go", Old: `case len(h["Sec-Websocket-Version"]) != 1 || h.Get("Sec-Websocket-Version") != "13":`, New: "case false:",
			Package: contract, Test: "TestHandshake",
		}, {
			Name: "WebSocket key", Why: "a handshake without a key is a request (G4)",
			File: "proxy/upgrade.go", Old: `case len(h["Sec-Websocket-Key"]) != 1 || err != nil || len(key) != 16:`, New: "case err != nil && len(key) == 1000:",
			Package: contract, Test: "TestHandshake",
		}, {
			Name: "WebSocket answer", Why: "a 101 that proves nothing opens no tunnel (G5)",
			File: "proxy/answer.go", Old: `if !strings.EqualFold(h.Get("Upgrade"), "websocket") || `, New: `if false && `,
			Package: contract, Test: "TestHandshake",
		}, {
			Name: "client address from the right", Why: "the left of X-Forwarded-For is whatever the client wrote (B4)",
			File: "proxy/front.go", Old: "for i := len(hops) - 1; i >= 0; i-- {", New: "for i := range hops {",
			Package: contract, Test: "TestTrustedProxies",
		}, {
			Name: "client address from trusted proxies", Why: "a stranger's X-Forwarded-For is a wish (B3)",
			File: "proxy/front.go", Old: "\tif !contains(trusted, peer) {\n\t\treturn peer\n\t}\n", New: "",
			Package: contract, Test: "TestTrustedProxies",
		}, {
			Name: "traces of trusted proxies", Why: "a stranger must not join its trace to ours (P3)",
			File: "proxy/exchange.go", Old: "if contains(x.state.TrustedProxies, x.peer) {", New: "if x.peer.IsValid() {",
			Package: contract, Test: "TestTrustedProxies",
		}, {
			Name: "preflights of listed origins", Why: "other sites' scripts may not call (M3)",
			File: "proxy/record.go", Old: "ok := origin == x.state.origin(x.req.Host) || listed(origin, x.route.Origins)", New: `ok := origin != ""`,
			Package: contract, Test: "TestPreflight",
		}, {
			Name: "service workers", Why: "one would answer for the gateway, for ever (M7)",
			File: "proxy/exchange.go", Old: "if isServiceWorker(r) && !x.route.ServiceWorkers {", New: "if false && isServiceWorker(r) {",
			Package: contract, Test: "TestRefusals",
		},
	}
}
