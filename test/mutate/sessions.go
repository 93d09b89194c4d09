package main

// sessions lists the guards of cookies, locks, ends and sign-out.
func sessions() []Guard {
	const contract = "test/contract"
	return []Guard{
		{
			Name: "a cookie is its host's", Why: "an id that leaked on one host opens no other",
			File: "session/cookie.go", Old: `return CookieName + " " + host }`, New: `return CookieName }`,
			Also:    []Edit{{"session/record.go", "slices.ContainsFunc(r.Hosts[host], func(h hostID) bool {", "slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(r.Hosts))...), func(h hostID) bool {"}},
			Package: contract, Test: "TestCookies",
		}, {
			Name: "a cookie twice", Why: "which of the two counts is anybody's guess (I2)",
			File: "session/cookie.go", Old: "case n > 1:", New: "case n > 1000:",
			Package: contract, Test: "TestCookies",
		}, {
			Name: "a cookie that is sealed", Why: "an id in a cookie says and proves nothing by itself (I1, I3; hospital B2)",
			File: "session/cookie.go", Old: "if c.Decode(name, value, &id) == nil && len(id) == secret {", New: "if c.Decode(name, value, &id); true {",
			Package: "session", Test: "TestFind",
		}, {
			Name: "only digests are kept", Why: "what is on disk opens nothing (P2)",
			File: "session/cookie.go", Old: "d := digest(sha256.Sum256(id))", New: "d := digest(id)",
			Also:    []Edit{{"session/cookie.go", "return sha256.Sum256(id), true", "return digest(id), true"}},
			Package: "session", Test: "TestRecordHoldsNoSecret",
		}, {
			Name: "a new id at sign-in", Why: "an id chosen before it is worth nothing after (I1)",
			File: "signin/arrive.go", Old: "if had != nil && had.ID == e.Session && e.Renew == nil {", New: "if had != nil && had.ID == e.Session {",
			Package: "signin", Test: "TestStepUp",
		}, {
			Name: "a tombstone", Why: "a browser whose session ended is asked who is there",
			File: "session/cookie.go", Old: "return Found{Tombstone: &Tombstone{", New: "_ = Found{Tombstone: &Tombstone{",
			Also:    []Edit{{"session/cookie.go", "Session: rec.ID, Provider: rec.Provider,\n\t}}\n", "Session: rec.ID, Provider: rec.Provider,\n\t}}\n\treturn Found{}\n"}},
			Package: contract, Test: "TestEndedSessionOnASharedTablet",
		}, {
			Name: "an end is written down", Why: "an ended session never returns, also not by a restart (I4)",
			File: "session/change.go", Old: "if !h.do(endAt(k.at(now), why)) && !h.unwritten() {\n\t\treturn nil\n\t}\n\treturn k.persist(ctx, h)", New: "h.do(endAt(k.at(now), why))\n\treturn nil",
			Package: "session", Test: "TestKilled",
		}, {
			Name: "a record is whole or nothing", Why: "one that was cut off may have lost its end (I4)",
			File: "session/decoding.go", Old: "if end < 1 || binary.", New: "if end < 1 || false && binary.",
			Package: "session", Test: "TestDamagedRecord",
		}, {
			Name: "an end is final", Why: "nothing renews what is over",
			File: "session/change.go", Old: "case h.ended(rec, t):\n\t\t\treturn ErrEnded\n\t\tcase rec", New: "case false:\n\t\t\treturn ErrEnded\n\t\tcase rec",
			Package: "session", Test: "TestRenew",
		}, {
			Name: "a lock is final", Why: "a click after the deadline does not unlock",
			File: "session/change.go", Old: "\t\tcase s.locked:\n\t\t\treturn ErrLocked\n", New: "",
			Package: "session", Test: "TestDeadlines",
		}, {
			Name: "the tightest route holds", Why: "a laxer one later does not widen it",
			File: "session/change.go", Old: "next := rec.Limits.Tighten(limits)", New: "next := limits.Tighten(access.Limits{EndAfter: rec.Limits.EndAfter, Max: rec.Limits.Max})\n\t\tif next.LockAfter == 0 {\n\t\t\tnext.LockAfter = k.limits().LockAfter\n\t\t}",
			Also:    []Edit{{"session/change.go", "if have := h.cur.Load().Limits; have.Tighten(limits) == have {", "if have := h.cur.Load().Limits; false && have.Tighten(limits) == have {"}},
			Package: contract, Test: "TestTightestLockOfTheRoutesUsed",
		}, {
			Name: "polling is no activity", Why: "a page that polls does not keep a tablet open",
			File: "proxy/kind.go", Old: `return navigation && r.Header.Get("Sec-Fetch-User") == "?1"`, New: "return true",
			Package: contract, Test: "TestActivity",
		}, {
			Name: "background requests are no activity", Why: "what a route lists as such counts for nothing",
			File: "proxy/exchange.go", Old: " && !x.route.IsBackground(&x.req)", New: "",
			Package: contract, Test: "TestActivity",
		}, {
			Name: "prefetches are no activity", Why: "a browser's guess shows nobody",
			File: "proxy/kind.go", Old: `if r.Header.Get("Sec-Purpose") != "" || `, New: "if ",
			Package: contract, Test: "TestActivity",
		}, {
			Name: "sign-out asked by its own page", Why: "no other site signs anybody out (J3)",
			File: "signin/logout.go", Old: "if silent || http.NewCrossOriginProtection().Check(r) != nil {", New: "if silent {",
			Package: contract, Test: "TestSignOut",
		}, {
			Name: "sign-out asked by a page at all", Why: "a POST that says nothing of where it comes from is no browser's (J3)",
			File: "signin/logout.go", Old: "if silent || http.", New: "if silent && false || http.",
			Package: contract, Test: "TestSignOut",
		}, {
			Name: "Clear-Site-Data", Why: "the next person finds nothing of the last (I7; hospital B2)",
			File: "signin/logout.go", Old: "\tw.Header().Set(\"Clear-Site-Data\", clearSiteData)\n", New: "",
			Package: contract, Test: "TestSignOut",
		}, {
			Name: "a sign-out is remembered", Why: "the provider's own session does not sign the last person in again",
			File: "signin/start.go", Old: "\tj.NotBefore = later(j.NotBefore, d.endedAt(r))\n", New: "",
			Package: contract, Test: "TestSignOut",
		}, {
			Name: "sign-out at the provider", Why: "or the next tap signs the same person in",
			File: "signin/logout.go", Old: `if p := d.providerOf(f.Issuer); p != nil && f.Session != "" {`, New: `if p := d.providerOf(f.Issuer); p != nil && f.Session == "\x00" {`,
			Package: contract, Test: "TestSignOut",
		}, {
			Name: "the previous root key still opens", Why: "or a change of the root key signs everybody out",
			File: "cmd/gateway/gateway.go", Old: "for _, r := range roots {", New: "for _, r := range roots[:1] {",
			Package: contract, Test: "TestRootKeyChanges",
		}, {
			Name: "the store's key is sealed anew", Why: "or it is lost with the root key before",
			File: "keys/turn.go", Old: "return key, sealStore(dir, roots[0], key)\n\t\t}", New: "return key, nil\n\t\t}",
			Package: "keys", Test: "TestRootTurns",
		}, {
			Name: "the store rests on no root key that is forgotten", Why: "a change that was cut short would lose the store",
			File: "keys/turn.go", Old: "\t\t_, err = OpenStore(dir, roots)\n", New: "\t\t_ = roots\n",
			Package: "keys", Test: "TestRootTurnInterrupted",
		}, {
			Name: "never three root keys", Why: "what the first made would be lost while it is about",
			File: "keys/turn.go", Old: "previousFile: ErrNeeded", New: "previousFile: nil",
			Package: "keys", Test: "TestRootTurns",
		},
	}
}
