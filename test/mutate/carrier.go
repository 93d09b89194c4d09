package main

// carrier lists the guards of how requests and answers are framed. Where one is
// missing, somebody is shown what was meant for somebody else.
func carrier() []Guard {
	const pkg = "carry"
	return []Guard{
		{
			Name: "a kept connection is looked at", Why: "what a backend says unasked is nobody's answer",
			File: "carry/conn.go", Old: "\tif c.used {\n\t\tvar one", New: "\tif c.used && false {\n\t\tvar one",
			Package: pkg, Test: "TestUnasked",
		}, {
			Name: "a kept connection is looked at, over TLS", Why: "the same, one layer up",
			File: "carry/conn.go", Old: "\t\tif c.used {\n\t\t\tif err", New: "\t\tif c.used && false {\n\t\t\tif err",
			Package: pkg, Test: "TestUnasked",
		}, {
			Name: "nothing lies behind an answer", Why: "it would be the next one's",
			File: "carry/trip.go", Old: "return t.done && !t.last && t.r == t.w &&", New: "return t.done && !t.last &&",
			Also:    []Edit{{"carry/conn.go", "\tif c.used {\n\t\tvar one", "\tif c.used && false {\n\t\tvar one"}},
			Package: pkg, Test: "TestConnectionsGoOn",
		}, {
			Name: "a connection that is to close", Why: "the backend reads nothing more of it",
			File: "carry/trip.go", Old: "return t.done && !t.last && t.r == t.w &&", New: "return t.done && t.r == t.w &&",
			Package: pkg, Test: "TestConnectionsGoOn",
		}, {
			Name: "a request sent by half", Why: "its rest would be the beginning of another's",
			File: "carry/upload.go", Old: "t.Cut(u.err) // what was begun cannot be ended", New: "_ = t",
			Package: pkg, Test: "TestUploads",
		}, {
			Name: "no more of a body than was said", Why: "the rest would be a request of its own",
			File: "carry/upload.go", Old: "room = min(room, r.Length-sent)", New: "_ = room",
			Package: pkg, Test: "TestUploads",
		}, {
			Name: "nothing is sent twice", Why: "a drug ordered once is ordered once",
			File: "carry/request.go", Old: "\tcase \"GET\", \"HEAD\", \"OPTIONS\":\n\t\treturn r.Body == nil && r.Upgrade == \"\"\n\t}\n\treturn false", New: "\t}\n\treturn true",
			Package: pkg, Test: "TestNothingTwice",
		}, {
			Name: "our framing of requests", Why: "never that of the client, nor two",
			File: "carry/request.go", Old: "if isFraming(name) {", New: "if isFraming(name) && false {",
			Package: pkg, Test: "TestRequests",
		}, {
			Name: "names of fields that are sent", Why: "a line break in one would be a header",
			File: "carry/request.go", Old: "if !isToken(name) {\n\t\t\treturn nil", New: "if false {\n\t\t\treturn nil",
			Package: pkg, Test: "TestBadRequests",
		}, {
			Name: "values of fields that are sent", Why: "a line break in one would be a header",
			File: "carry/request.go", Old: "if !isValue(value) {", New: "if false {",
			Package: pkg, Test: "TestBadRequests",
		}, {
			Name: "the target that is sent", Why: "a space in it would be another request line",
			File: "carry/request.go", Old: "!isVisible(r.Target) || r.Target[0] != '/'", New: "r.Target == \"\\x00\"",
			Package: pkg, Test: "TestBadRequests",
		}, {
			Name: "the host that is sent", Why: "a line break in it would be a header",
			File: "carry/request.go", Old: "case !isVisible(r.Host):", New: "case r.Host == \"\\x00\":",
			Package: pkg, Test: "TestBadRequests",
		}, {
			Name: "lengths that differ", Why: "two readers would take two",
			File: "carry/head.go", Old: "|| i > 0 && int64(n) != length {", New: "|| i < 0 {",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "length beside chunks", Why: "two readers would take two",
			File: "carry/head.go", Old: "case old || length >= 0:\n\t\treturn bad", New: "case old:\n\t\treturn bad",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "chunks in HTTP/1.0", Why: "it knows none",
			File: "carry/head.go", Old: "case old || length >= 0:\n\t\treturn bad", New: "case length >= 0:\n\t\treturn bad",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "codings other than chunked", Why: "where it ends would be a guess",
			File: "carry/head.go", Old: `case len(codings) != 1 || !strings.EqualFold(codings[0], "chunked"):`, New: `case len(codings) > 9:`,
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "folded lines, and spaces in names", Why: "two readers would take two",
			File: "carry/head.go", Old: "if !ok || !isToken(name) || !isValue(value) {", New: "if !ok || !isValue(value) {",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "controls in an answer's fields", Why: "a CR there is a line's end to some",
			File: "carry/head.go", Old: "if !ok || !isToken(name) || !isValue(value) {", New: "if !ok || !isToken(name) {",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "lines that end alike", Why: "a bare LF among others is a value that was not cleaned",
			File: "carry/head.go", Old: "if !strings.HasSuffix(line, \"\\r\") {\n\t\t\t\treturn h, bad(\"a line that ends unlike others\")\n\t\t\t}\n\t\t\tline = line[:len(line)-1]", New: "line = strings.TrimSuffix(line, \"\\r\")",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "another protocol only when asked", Why: "what follows would be nobody's to read",
			File: "carry/trip.go", Old: "if t.request.Upgrade == \"\" {\n\t\t\treturn bad", New: "if false {\n\t\t\treturn bad",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "the size of a head", Why: "a backend does not fill the memory",
			File: "carry/trip.go", Old: "if t.w-t.r >= maxHead {", New: "if t.w-t.r >= maxHead && len(t.buf) > 1<<20 {",
			Also:    []Edit{{"carry/trip.go", "grown := make([]byte, maxHead)", "grown := make([]byte, 2*len(t.buf))"}},
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "the end of a chunk", Why: "where the next one begins must not be a guess",
			File: "carry/body.go", Old: "} else if len(line) > 0 {\n\t\t\treturn bad(\"no end of a chunk\")", New: "} else if len(line) > 9 {\n\t\t\treturn bad(\"no end of a chunk\")",
			Also:    []Edit{{"carry/body.go", "t.line(idle, 0); err", "t.line(idle, 9); err"}},
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "lines of chunks end in CRLF", Why: "a bare LF is an end to some, and content to others",
			File: "carry/body.go", Old: "if n == 0 || line[n-1] != '\\r' || bytes.IndexByte(line, '\\r') != n-1 || n-1 > limit {\n\t\t\t\treturn nil, bad(\"a line of a chunk\")\n\t\t\t}\n\t\t\treturn line[:n-1], nil",
			New:     "if n-1 > limit {\n\t\t\t\treturn nil, bad(\"a line of a chunk\")\n\t\t\t}\n\t\t\treturn bytes.TrimSuffix(line, []byte(\"\\r\")), nil",
			Package: pkg, Test: "TestBadAnswers",
		}, {
			Name: "half an answer", Why: "it must not look whole",
			File: "carry/body.go", Old: "if err != nil && (err != io.EOF || !t.done) {", New: "if err != nil && err != io.EOF {",
			Package: pkg, Test: "TestBadAnswers",
		},
	}
}
