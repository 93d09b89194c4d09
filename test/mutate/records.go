package main

// records lists the guards of the audit trail.
func records() []Guard {
	return []Guard{
		{
			Name: "recorded before it is forwarded", Why: "nothing happens that the trail does not know of",
			File: "proxy/gateway.go", Old: "\tif err := x.record(d); err != nil {\n\t\tx.unrecorded(err)\n\t\treturn\n\t}\n", New: "\tdefer x.record(d)\n",
			Package: "proxy", Test: "TestRecordedBeforeForwarded",
		}, {
			Name: "what cannot be recorded is not forwarded", Why: "on_failure: deny",
			File: "proxy/record.go", Old: "\tif x.route.AuditDeny {\n\t\tx.w.Header().Set(\"Retry-After\", \"5\")\n\t\tx.say(", New: "\tif false {\n\t\tx.w.Header().Set(\"Retry-After\", \"5\")\n\t\tx.say(",
			Package: "proxy", Test: "TestRecordedBeforeForwarded",
		}, {
			Name: "an alarm grants nothing", Why: "on_failure: alarm forwards only what was allowed",
			File: "proxy/record.go", Old: "\tif !ok {\n\t\tx.answer(x.decision)\n\t\treturn\n\t}\n", New: "\t_ = ok\n",
			Also:    []Edit{{"proxy/forward.go", "if !grant.Allowed() {", "if false {"}},
			Package: "proxy", Test: "TestRecordedBeforeForwarded",
		}, {
			Name: "on disk first where a rule applies", Why: "an amendment survives a power failure in the trail",
			File: "proxy/record.go", Old: "durable := len(x.need.Demands) > 0 || x.released != nil", New: "durable := x.released != nil",
			Package: "proxy", Test: "TestRecordedBeforeForwarded",
		}, {
			Name: "durable means flushed", Why: "an answer is given after the disk confirmed it",
			File: "audit/writer.go", Old: "durable = append(durable, l.p)", New: "durable = append(durable, l.p)\n\t\t\tl.p.done <- nil\n\t\t\tdurable = durable[:0]",
			Package: "audit", Test: "TestFailedFlushIsNotTriedAgain|TestPowerFailure|TestOrdinaryRecordsDoNotWaitForTheDisk",
		}, {
			Name: "each record holds its predecessor's hash", Why: "an edit, a swap or a removal shows (P4)",
			File: "audit/verify.go", Old: "return l.prev == v.last.hash && l.seq == v.last.seq+1", New: "return l.seq == v.last.seq+1",
			Package: "audit", Test: "TestVerifyNamesTheFirstBadRecord",
		}, {
			Name: "so does the quick look, inside a block", Why: "the same, where many lines are looked at once (P4)",
			File: "audit/chain.go", Old: "s.lines > 0 && (l.prev != s.last.hash || l.seq != s.last.seq+1)", New: "s.lines > 0 && l.seq != s.last.seq+1",
			Package: "audit", Test: "TestVerifyNamesTheFirstBadRecord",
		}, {
			Name: "and from block to block", Why: "the same, where a segment or a block begins (P4)",
			File: "audit/chain.go", Old: "v.begun && (s.first.prev != v.last.hash || s.first.seq != v.last.seq+1)", New: "v.begun && s.first.seq != v.last.seq+1",
			Package: "audit", Test: "TestVerifyFindsAChangeWhereABlockEnds",
		}, {
			Name: "indexes are proven", Why: "nobody is taken out of what searches look at, in a trail that is called intact",
			File: "audit/tally.go", Old: "if have != want && v.misled == nil {", New: "if have != want && v.misled != nil {",
			Package: "audit", Test: "TestVerifyProvesIndexes",
		}, {
			Name: "an index is of its segment as it is", Why: "a search of a segment that was cut or goes on misses nothing",
			File: "audit/lookup.go", Old: "if err == nil && !x.place.still(f) {", New: "if false {",
			Package: "audit", Test: "TestDamagedIndexIsNotUsed",
		}, {
			Name: "the head tells the end", Why: "a cut tail shows (P4)",
			File: "audit/verify.go", Old: "case v.head.Seq > v.last.seq:", New: "case false:",
			Package: "audit", Test: "TestVerifyNamesTheFirstBadRecord",
		}, {
			Name: "checkpoints are signed", Why: "a trail that was written anew shows (P4)",
			File: "audit/line.go", Old: " || !ed25519.Verify(key, l.signed, l.sig) {", New: " {",
			Package: "audit", Test: "TestForgedCheckpoint",
		}, {
			Name: "records are one line each", Why: "a path with a line break writes no record of its own (P1)",
			File: "audit/encode.go", Old: "t[c] = c != '\"' && c != '\\\\'", New: "t[c] = true",
			Package: "audit", Test: "TestEncodeShowsWhatATerminalWouldObey",
		}, {
			Name: "no query in the trail", Why: "a query may hold a token (P2)",
			File: "proxy/record.go", Old: "Path: routes.CutParams(x.req.Path.Escaped),", New: "Path: routes.CutParams(x.req.Target()),",
			Package: "test/contract", Test: "TestAuditRecord",
		}, {
			Name: "no path parameters in the trail", Why: "servlets keep the session's id in one (P2)",
			File: "proxy/record.go", Old: "Path: routes.CutParams(x.req.Path.Escaped),", New: "Path: x.req.Path.Escaped,",
			Package: "test/contract", Test: "TestAuditPathParameters",
		}, {
			Name: "no path parameters of refused requests", Why: "a browser sends its session's id to whatever host it is led to (P2)",
			File: "proxy/record.go", Old: "clip(routes.CutParams(x.r.URL.EscapedPath()))", New: "clip(x.r.URL.EscapedPath())",
			Package: "test/contract", Test: "TestAuditPathParameters",
		}, {
			Name: "no path parameters in the patient's name", Why: "the trail has it under another field (P2)",
			File: "routes/table.go", Old: "p.Path.Capture(req.Path.bare(), ", New: "p.Path.Capture(req.Path.Segments, ",
			Package: "routes", Test: "TestPatient",
		}, {
			Name: "no raw path in a span", Why: "a path names a patient (P2)",
			File: "proxy/record.go", Old: "Start: x.now, Method: x.method(), Route: x.routeName(),", New: "Start: x.now, Method: x.method(), Route: x.req.Path.Escaped,",
			Package: "test/contract", Test: "TestSpans",
		}, {
			Name: "foreign sign-outs are told", Why: "what smells is in the trail",
			File: "proxy/upgrade.go", Old: "\t\tx.security(\"websocket_origin\")\n", New: "",
			Package: "test/contract", Test: "TestWebSocket",
		},
	}
}
