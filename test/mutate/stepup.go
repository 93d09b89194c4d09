package main

// stepUp lists the guards of held requests and of what a sign-in must prove.
func stepUp() []Guard {
	const contract = "test/contract"
	return []Guard{
		{
			Name: "origin of a held request", Why: "another site's form is not kept for its victim to prove (K6)",
			File: "proxy/hold.go", Old: "if !fromOrigin(x.r, x.state.origin(x.req.Host), x.route.Origins) {", New: "if false {",
			Package: contract, Test: "TestHoldLimits",
		}, {
			Name: "size of a held request", Why: "half a body is never kept (K8; hospital A1)",
			File: "proxy/hold.go", Old: "!x.whole && !empty || int64(len(x.fullBody)) > x.need.KeepRequest {", New: "!x.whole && !empty && false {",
			Package: contract, Test: "TestHoldLimits",
		}, {
			Name: "number of held requests", Why: "nobody fills the store (O4)",
			File: "held/held.go", Old: "if !k.room.take(t, key, now, now.Add(holdFor)) {", New: "if !k.room.take(t, key, now, now.Add(holdFor)) && false {",
			Package: contract, Test: "TestTooManyHeldRequests",
		}, {
			Name: "origin of a release", Why: "only the page that was given the token may send it",
			File: "proxy/exchange.go", Old: "if !fromOrigin(r, x.state.origin(x.req.Host), nil) {", New: "if false {",
			Package: contract, Test: "TestReleaseIsForOneRequest",
		}, {
			Name: "a release works once", Why: "an order is never sent twice (K5; hospital A1)",
			File: "held/held.go", Old: "value, err := k.bucket.Take(ctx, storeKey(tokenTag, token))", New: "value, _, err := k.bucket.Get(ctx, storeKey(tokenTag, token))",
			Also:    []Edit{{"held/held.go", "value, err = k.bucket.Take(ctx, storeKey(t, secret))", "value, _, err = k.bucket.Get(ctx, storeKey(t, secret))"}},
			Package: contract, Test: "TestStepUp",
		}, {
			Name: "a release goes where it was meant", Why: "a token is for one method and URL (hospital A1)",
			File: "proxy/exchange.go", Old: "if held.Host != x.req.Host || held.Target != x.req.Target() || held.Method != r.Method {", New: "if false {",
			Package: contract, Test: "TestReleaseIsForOneRequest",
		}, {
			Name: "a release is its person's", Why: "whoever proved themselves sends it, in that session (K2; hospital A1)",
			File: "proxy/exchange.go", Old: "if p := x.found.Person; p == nil || p.Value(x.now).ID != held.Proven || p.Value(x.now).Subject != held.Subject {", New: "if false {",
			Package: contract, Test: "TestReleaseIsForOneRequest",
		}, {
			Name: "a held request is judged anew", Why: "what was taken away meanwhile is gone (K7; hospital A1)",
			File: "proxy/gateway.go", Old: "d := x.spend(&q, access.Decide(q))", New: "d := x.spend(&q, access.Decide(q))\n\tif x.released != nil {\n\t\td = access.Decide(access.Question{Require: access.Requirement{Public: true}})\n\t}",
			Package: contract, Test: "TestHeldRequestIsJudgedAnew",
		}, {
			Name: "a release that is exactly one", Why: "anything else is the application's own",
			File: "held/token.go", Old: "if !ok || !isSecret(string(text)) {", New: "if !ok {",
			Package: "held", Test: "TestToken",
		}, {
			Name: "held requests are sealed", Why: "what is kept on disk says nothing, and cannot be swapped",
			File: "held/seal.go", Old: "k.aeads[0].Seal(nil, nil, plain, []byte(requestPurpose+id))", New: "k.aeads[0].Seal(nil, nil, plain, []byte(requestPurpose))",
			Also:    []Edit{{"held/seal.go", "k.unseal(value, requestPurpose+id)", "k.unseal(value, requestPurpose)"}},
			Package: "held", Test: "TestSealed",
		}, {
			Name: "the same person steps up", Why: "another's sign-in never raises the first one's session (K2; hospital A1)",
			File: "signin/callback.go", Old: "stranger := j.Subject != (access.Subject{}) && proof.Subject != j.Subject", New: "stranger := false",
			Also:    []Edit{{"session/change.go", "case rec.Authn.Subject != b.Authn.Subject:", "case false:"}},
			Package: contract, Test: "TestStepUpByAnotherPerson",
		}, {
			Name: "the session keeps its person", Why: "even when all before it failed (K2; hospital A1)",
			File: "session/change.go", Old: "case rec.Authn.Subject != b.Authn.Subject:", New: "case false:",
			Package: "session", Test: "TestRenew",
		}, {
			Name: "strength is proven by the token", Why: "asking for acr_values proves nothing (K3; hospital A1)",
			File: "signin/judge.go", Old: "if !l.ProvenBy(a.ACR, a.AMR) {", New: "if false && !l.ProvenBy(a.ACR, a.AMR) {",
			Package: contract, Test: "TestProviderThatCannotProve",
		}, {
			Name: "age is proven by the token", Why: "asking for max_age proves nothing (K3; hospital A1)",
			File: "signin/judge.go", Old: "if j.Within > 0 && (", New: "if false && (",
			Package: "signin", Test: "TestStepUpThatProvesTooLittle",
		}, {
			Name: "a sign-in after the lock or the end", Why: "the provider's own session must not bring the last person back",
			File: "signin/judge.go", Old: "return !a.AuthTime.IsZero() && !a.FreshAt.IsZero() && a.FreshAt.Add(resolution).After(notBefore)", New: "return true",
			Package: contract, Test: "TestEndedSessionOnASharedTablet",
		}, {
			Name: "asked to sign in anew after an end", Why: "or the next person is taken for the last",
			File: "signin/judge.go", Old: "j.EachTime || !j.NotBefore.IsZero() || s", New: "j.EachTime || s",
			Package: contract, Test: "TestEndedSessionOnASharedTablet",
		}, {
			Name: "a step-up goes through the application's host", Why: "whoever lures another into finishing a step-up gains nothing",
			File: "signin/arrive.go", Old: "if !same && !d.bound(r, c.Back, now) || ", New: "if false && !same || ",
			Package: "signin", Test: "TestReturnOfAnotherBrowser",
		}, {
			Name: "a challenge to a script", Why: "a call never gets a page for an answer (J6; hospital A1)",
			File: "proxy/refuse.go", Old: "case !x.navigation:\n\t\tx.challenge(d)\n", New: "",
			Package: contract, Test: "TestCallsAreNeverRedirected",
		}, {
			Name: "a held request waits for its own session", Why: "what was entered on another device is not sent by hers (K6)",
			File: "signin/arrive.go", Old: "if e.Session == l.Journey.Session {", New: "if true {",
			Package: "signin", Test: "TestLuredRelease",
		}, {
			Name: "a held request is not bound anew", Why: "a browser that was lured to its return would send it (K6)",
			File: "signin/arrive.go", Old: "\tcase j.Held != \"\":\n\t\td.notSent(r.Context(), w, r, at, j)\n\tcase d.value(", New: "\tcase j.Held != \"\" && c.Back.Tries < 3:\n\t\tredirect(w, d.begin(w, r, j, c.Back.Tries+1))\n\tcase d.value(",
			Package: "signin", Test: "TestLuredRelease",
		}, {
			Name: "a held request is never lost in silence", Why: "a person believes that their order was sent",
			File: "signin/callback.go", Old: "\t\tif j.Held == \"\" {\n\t\t\tredirect(w, d.back(j))\n\t\t\treturn\n\t\t}\n\t\td.again(w, r, at, l)", New: "\t\tredirect(w, d.back(j))",
			Package: "signin", Test: "TestHeldFormsInManyTabs",
		},
	}
}
