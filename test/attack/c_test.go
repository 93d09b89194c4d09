package attack_test

// groupC: paths and request targets.
func groupC() []row {
	admin := EQ("/admin/")
	rows := of("C1", "eve", admin, "/pub/../admin/", "/pub/x/../../admin", "/pub/..", "/../admin", "/pub/./../admin")
	rows = append(rows, of("C2", "eve", admin, "/pub/%2e%2e/admin", "/pub/.%2e/admin", "/pub/%2E./admin", "/pub/%2e/admin", "/%2e/admin")...)
	rows = append(rows, of("C3", "eve", admin, "//admin/", "/pub//../admin", "/./admin", "///admin")...)
	rows = append(rows, of("C4", "eve", admin, "/pub/%2f..%2fadmin", "/pub%2f../admin", "/pub%2F%2e%2e%2Fadmin", "/%2fadmin", "/pub/..%2fadmin", "/pub%2f")...)
	rows = append(rows, of("C5", "eve", admin, "/admin;x=1/users", "/pub/..;/admin", "/pub;/../admin", "/;/admin", "/pub/..;x=y/admin", "/pub/%2e%2e;/admin", "/pub/..%3b/admin", "/admin;", "/.;/admin")...)
	rows = append(rows, of("C6", "eve", admin, `/pub\..\admin`, "/pub/%5c..%5cadmin", `\admin`, `/\admin`, "/pub/..%5Cadmin")...)
	rows = append(rows, of("C7", "eve", REJ(400), "/admin%00.png", "/pub/%00/../admin", "/pub/%00", "/admin%0a", "/pub/%0d%0aX:%20y", "/pub/%7f")...)
	rows = append(rows, of("C8", "eve", admin, "/%61dmin", "/adm%69n/", "/%61%64%6d%69%6e", "/%61dmin/%2e%2e/pub")...)
	// A path whose route would be another in another case is nobody's.
	rows = append(rows, of("C9", "eve", EQ("/admin/", 404), "/ADMIN/", "/Admin", "/aDmin/users", "/%41dmin", "/PUB/../admin", "/PUB/x", "/adm\u0131n")...)
	rows = append(rows, of("C10", "eve", REJ(400), "/pub/%c0%ae%c0%ae/admin", "/pub/%c0%af", "/pub/%e0%80%ae%e0%80%ae/admin", "/pub/%ff", "/pub/%ef%bf%bd", "/%c1%a1dmin", "/pub/%f0%80%80%ae/")...)
	for _, target := range []string{"/pub/%252e%252e/admin", "/pub/%252f..%252fadmin", "/pub/%25%32%65%25%32%65/admin", "/pub/%255c", "/pub/%2500"} {
		rows = append(rows, row{id: "C11", name: target, as: "eve", send: both("GET " + target), want: either(REJ(400), all(OPEN, arrivesAs(target)))})
	}
	rows = append(rows, of("C12", "eve", REJ(400), "/admin#/pub/x", "/pub/x#/../admin", "/pub#")...)
	rows = append(rows, of("C12", "eve", admin, "/admin%23/pub/x")...)
	rows = append(rows, of("C13", "eve", FORB, "/admin?next=/pub/", "/admin?/pub/", "/admin?", "/admin/?x=/pub/x;/pub", "/admin/users?..%2f..%2fpub")...)
	rows = append(rows, of("C14", "", LOGIN, "/pubsecret/x", "/pub.x", "/publ", "/pub-x/", "/pu", "/pub%20/x")...)
	rows = append(rows, []row{
		{id: "C15", name: "absolute form of another host", as: "nora", send: one(raw("GET http://img.test/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C15", name: "absolute form of the same host", as: "nora", send: one(raw("GET https://{host}/chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: either(REJ(400), STRIP)},
		{id: "C15", name: "user and password", as: "nora", send: one(raw("GET https://u:p@ehr.test/ HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C15", name: "no scheme", as: "nora", send: one(raw("GET //u:p@ehr.test/admin HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C16", name: "authority form", as: "nora", send: one(raw("GET ehr.test:443 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C16", name: "no slash", as: "nora", send: one(raw("GET admin HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C16", name: "a scheme without a host", as: "nora", send: one(raw("GET x:/admin HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C16", name: "an opaque target", as: "nora", send: one(raw("GET x:admin HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C16", name: "an empty target", as: "nora", send: one(raw("GET  HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "C17", name: "OPTIONS *", as: "nora", send: one(h1("OPTIONS *"), h2("OPTIONS *")), want: status(204, 400)},
		{id: "C17", name: "GET *", as: "nora", send: one(h1("GET *"), h2("GET *")), want: REJ(400)},
		{id: "C18", name: "a space", as: "nora", send: one(h1("GET /chart/ 1"), h2("GET /chart/ 1")), want: REJ(400)},
		{id: "C18", name: "a tab", as: "nora", send: one(h1("GET /chart/\t1"), h2("GET /chart/\t1")), want: REJ(400)},
		{id: "C18", name: "byte 0x01", as: "nora", send: one(h1("GET /chart/\x01"), h2("GET /chart/\x01")), want: REJ(400)},
		{id: "C18", name: "byte 0x80", as: "nora", send: one(h1("GET /chart/\x80"), h2("GET /chart/\x80")), want: REJ(400)},
		{id: "C18", name: "byte 0x80 in the query", as: "nora", send: one(h1("GET /chart/?\x80"), h2("GET /chart/?\x80")), want: REJ(400)},
		{id: "C18", name: "a bad escape", as: "nora", send: both("GET /chart/%zz"), want: REJ(400)},
		{id: "C18", name: "half an escape", as: "nora", send: both("GET /chart/%2"), want: REJ(400)},
		{id: "C18", name: "a bad escape in the query", as: "nora", send: both("GET /chart/?a=%zz"), want: REJ(400)},
	}...)
	// On a route that tolerates all that a route may, the same spellings.
	for _, r := range rows {
		switch r.id {
		case "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C12":
			loose := r
			loose.name, loose.send = "tolerant "+r.name, nil
			for _, req := range r.send {
				loose.send = append(loose.send, req.at("loose.test"))
			}
			rows = append(rows, loose)
		}
	}
	return append(rows, []row{
		// What a tolerant route does let pass goes out as it came, and was judged as the backend will see it.
		{id: "C5", name: "tolerated for adam", as: "adam", send: one(h1("GET /admin/users;x=1").at("loose.test"), h2("GET /admin/users;x=1").at("loose.test")), want: arrivesAs("/admin/users;x=1")},
		{id: "C3", name: "tolerated on the open route", as: "eve", send: one(h1("GET /pub//admin").at("loose.test")), want: all(OPEN, arrivesAs("/pub//admin"))},
		{id: "C3", name: "tolerated for nora", as: "nora", send: one(h1("GET /chart//1").at("loose.test")), want: all(STRIP, arrivesAs("/chart//1"))},
		{id: "C4", name: "tolerated for nora", as: "nora", send: one(h1("GET /chart/a%2fb").at("loose.test")), want: all(STRIP, arrivesAs("/chart/a%2fb"))},
	}...)
}
