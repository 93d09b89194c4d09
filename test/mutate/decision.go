package main

// decision lists the guards of the decision, of what rules and devices ask,
// and of who may speak about a device.
func decision() []Guard {
	const contract = "test/contract"
	return []Guard{
		{
			Name: "somebody is signed in", Why: "a device alone is never proof (hospital C1)",
			File: "access/decide.go", Old: "return Decision{Verdict: SignIn, Reason: NoSession}", New: "return Decision{Verdict: Allow, Reason: AllMet, granted: true}",
			Package: contract, Test: "TestDeviceAloneOpensNothing",
		}, {
			Name: "the session has not ended", Why: "signed out is out, whatever the clock says (I4)",
			File: "access/decide.go", Old: "case who.Ended || !q.Now.Before(who.EndsAt):", New: "case !q.Now.Before(who.EndsAt):",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "the session is not past its end", Why: "no session outlives its limits (I4)",
			File: "access/decide.go", Old: "case who.Ended || !q.Now.Before(who.EndsAt):", New: "case who.Ended:",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "the session's provider counts here", Why: "a provider's word opens only what is its own",
			File: "access/decide.go", Old: `case who.Subject.Issuer == "" || !slices.Contains(need.Issuers, who.Subject.Issuer):`, New: `case who.Subject.Issuer == "" && !slices.Contains(need.Issuers, "nobody's"):`,
			Package: "access", Test: "TestDecide",
		}, {
			Name: "a word of one provider", Why: "an acr means nothing from another provider",
			File: "access/authentication.go", Old: "if l.By == nil {", New: "for _, one := range l.By {\n\t\treturn one\n\t}\n\tif true {",
			Package: contract, Test: "TestWordsOfAnotherProvider",
		}, {
			Name: "the session is not locked", Why: "a tablet on a table is nobody's (hospital B2)",
			File: "access/decide.go", Old: "case who.Locked || !q.Now.Before(who.LocksAt):", New: "case !q.Now.Before(who.LocksAt):",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "the session is not past its lock", Why: "it locks on time, not when somebody looks",
			File: "access/decide.go", Old: "case who.Locked || !q.Now.Before(who.LocksAt):", New: "case who.Locked:",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "the session is on its device", Why: "a cookie that was carried off is worth nothing",
			File: "access/decide.go", Old: `case who.Device != "" && q.Posture.DeviceID != "" && who.Device != q.Posture.DeviceID:`, New: "case false:",
			Package: contract, Test: "TestDevice",
		}, {
			Name: "the device is fit", Why: "no broad access from devices that nobody manages (N2; hospital A3, C2)",
			File: "access/decide.go", Old: "len(blocking) > 0 {", New: "len(blocking) > 1000 {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "the route's roles", Why: "access is granted there and nowhere else (hospital C2)",
			File: "access/decide.go", Old: "if !overlap(need.Allow, who.Roles) {", New: "if false {",
			Package: contract, Test: "TestRole",
		}, {
			Name: "a rule's roles", Why: "a rule narrows whom the route admits",
			File: "access/decide.go", Old: "if len(d.Roles) > 0 && !overlap(d.Roles, who.Roles) {", New: "if false {",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "strength of the sign-in", Why: "a weak sign-in does not sign a result (K4; hospital A1)",
			File: "access/decide.go", Old: "if d.Login != nil && !d.Login.Of(who.Subject.Issuer).ProvenBy(who.ACR, who.AMR) {", New: "if false {",
			Package: contract, Test: "TestStepUpForAWeakerRule",
		}, {
			Name: "age of the sign-in", Why: "an amendment never reaches the backend without a fresh sign-in (K1; hospital A1)",
			File: "access/decide.go", Old: "judged.Sub(who.FreshAt) > d.Within ||", New: "judged.IsZero() ||",
			Package: contract, Test: "TestStepUp",
		}, {
			Name: "a sign-in of the future", Why: "a clock that went back makes nobody fresh",
			File: "access/decide.go", Old: " || who.FreshAt.After(q.Now.Add(maxAhead))", New: "",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "a sign-in each time", Why: "evidence for one request serves no other (hospital A1)",
			File: "access/decide.go", Old: "if d.EachTime && !q.Once {", New: "if false {",
			Package: contract, Test: "TestEachTime",
		}, {
			Name: "the device before the role", Why: "nobody steps up for a page that would still refuse",
			File: "access/decide.go",
			Old:  "\tif len(blocking) > 0 {\n\t\td.Reason", New: "\tif !overlap(need.Allow, who.Roles) {\n\t\td = q.beyond()\n\t} else if len(blocking) > 0 {\n\t\td.Reason",
			Package: "access", Test: "TestDecide",
		}, {
			Name: "decisions made by hand grant nothing", Why: "there is one place that allows",
			File: "access/decide.go", Old: "if d.Verdict != Allow || !d.granted {", New: "if d.Verdict != Allow {",
			Package: "access", Test: "TestZeroValuesRefuse",
		}, {
			Name: "an unknown device", Why: "not to know is not to trust (hospital A3)",
			File: "access/profile.go", Old: "if !at.Known(now) {", New: "if false {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "an unknown fact", Why: "perhaps managed is not managed (hospital A3)",
			File: "access/profile.go", Old: "if have == TriOf(want.Value) {\n\t\t\tcontinue", New: "if have == TriOf(want.Value) || have == Unknown {\n\t\t\tcontinue",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "a known bad fact", Why: "a device that is lost stays out (hospital A3)",
			File: "access/profile.go", Old: "have == TriOf(want.Value) {\n\t\t\treturn", New: "have == TriOf(want.Value) && false {\n\t\t\treturn",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "an unlisted platform", Why: "a platform that nobody thought of is not fit (hospital A3)",
			File: "access/profile.go", Old: `if i < 0 || at.Platform == "" {`, New: "if i < 0 {\n\t\t\treturn Failure{}, false\n\t\t}\n\t\tif false {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "an outdated system", Why: "known holes are closed (hospital A3)",
			File: "access/profile.go", Old: "len(m.Min) > 0 && !ok {", New: "len(m.Min) > 1000 && !ok {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "a stale statement", Why: "a laptop that stopped reporting is not managed for ever (N2; hospital A3)",
			File: "access/posture.go", Old: "return p.Expires.IsZero() || !now.After(p.Expires)", New: "return true",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "a statement of the future", Why: "it would be good for longer than its source allows (N2)",
			File: "access/posture.go", Old: "if p.AssertedAt.After(now.Add(maxAhead)) {", New: "if false {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "a device not heard of", Why: "its MDM must have heard from it lately (hospital A3)",
			File: "access/profile.go", Old: "if c.CheckinMaxAge > 0 {", New: "if c.CheckinMaxAge > 0 && false {",
			Package: contract, Test: "TestDevicesByRoute",
		}, {
			Name: "nobody's silence", Why: "whoever has a stolen cookie could choose it (hospital A3)",
			File: "access/grace.go", Old: `case at.DeviceID == "" || at.Assurance == A0 || last.DeviceID != at.DeviceID || last.Silent:`, New: "case false:",
			Package: "access", Test: "TestLastKnown",
		}, {
			Name: "bad news in silence", Why: "what is known to be bad is bad (hospital A3)",
			File: "access/grace.go", Old: "known := last.worst(at)", New: "known := *last",
			Package: "access", Test: "TestLastKnown",
		}, {
			Name: "the end of a time of grace", Why: "a warning that nothing follows is none (hospital A3)",
			File: "access/grace.go", Old: "if q.Now.Before(f.Deadline) {", New: "if true {",
			Package: "access", Test: "TestGrace",
		}, {
			Name: "good news that is proven", Why: "an address is weak proof (hospital A3)",
			File: "access/profile.go", Old: "if at.Assurance < p.MinAssurance && f.Missing() {", New: "if false {",
			Package: "access", Test: "TestMinAssurance",
		}, {
			Name: "a profile that asks nothing", Why: "a mistake is not a permission (hospital C2)",
			File: "access/profile.go", Old: "if len(p.Checks) == 0 { // ", New: "if false { // ",
			Package: "access", Test: "TestZeroValuesRefuse",
		}, {
			Name: "a hard failure ends the device's sessions", Why: "a jailbroken tablet is out everywhere (hospital A3)",
			File: "proxy/exchange.go", Old: `if len(d.Failed) > 0 && d.Failed[0].Hard && x.posture.DeviceID != "" {`, New: "if false {",
			Package: contract, Test: "TestHardFailureEndsTheDevicesSessions",
		}, {
			Name: "another device ends the session", Why: "its cookie is in the wrong hands",
			File: "proxy/exchange.go", Old: "if x.session != nil && d.Reason == access.DeviceChanged {", New: "if false {",
			Package: contract, Test: "TestDevice",
		}, {
			Name: "the first device is remembered", Why: "without it no other is another",
			File: "proxy/exchange.go", Old: `if x.session.Device == "" && x.posture.Known(x.now) {`, New: "if false {",
			Package: contract, Test: "TestDevice",
		}, {
			Name: "senders of posture", Why: "a client's own word about its device is worth nothing (N1; hospital A3)",
			File: "posture/sources.go", Old: "if by == nil {\n\t\t\tcontinue", New: "if by == nil && len(src.senders) > 0 {\n\t\t\tby = src.senders[0]\n\t\t} else if by == nil {\n\t\t\tcontinue",
			Package: contract, Test: "TestPostureOfAStranger",
		}, {
			Name: "senders on their own listener", Why: "what is said elsewhere is anybody's word (N1)",
			File: "posture/sender.go", Old: "if s.listen != from.Listener {\n\t\treturn nil", New: "if s.listen != from.Listener && false {\n\t\treturn nil",
			Package: "posture", Test: "TestSendersKeepToTheirListener",
		}, {
			Name: "the name of a sender", Why: "an authority certifies others too (D8)",
			File: "posture/sender.go", Old: "return strings.EqualFold(name, s.Name)", New: "return strings.EqualFold(name, name)",
			Package: "posture", Test: "TestCertifiedSender",
		}, {
			Name: "the usage of a sender's certificate", Why: "a server's certificate is no client's (D8)",
			File: "posture/sender.go", Old: "\t\treturn ErrUsage\n\t}\n\tif", New: "\t}\n\tif",
			Package: "posture", Test: "TestCertifiedSender",
		}, {
			Name: "a sender is asked again", Why: "a connection outlives its certificate (D8)",
			File: "posture/sender.go", Old: "return ok && !now.After(until)", New: "return ok && !until.IsZero()",
			Package: "posture", Test: "TestCertifiedSenderIsAskedAgain",
		}, {
			Name: "one value of a posture header", Why: "two values are two answers (N1)",
			File: "posture/header.go", Old: "\t\treturn \"\", fmt.Errorf(\"%w: %s twice\", ErrAmbiguous, name)\n", New: "",
			Package: contract, Test: "TestPostureOfAStranger",
		}, {
			Name: "commas in a posture header", Why: "a proxy may have joined two values (N1)",
			File: "posture/header.go", Old: "case c == ',':", New: "case c == 0:",
			Package: contract, Test: "TestPostureOfAStranger",
		}, {
			Name: "one spelling of a posture header", Why: "the tunnel overwrites only its own (N1)",
			File: "posture/header.go", Old: `own != "" && own != name {`, New: `own != "" && own != name && false {`,
			Package: contract, Test: "TestPostureOfAStranger",
		}, {
			Name: "HEAD is judged as GET", Why: "it must not tell what GET may not",
			File: "routes/request.go", Old: "if r.Method == \"HEAD\" {", New: "if false {",
			Package: contract, Test: "TestRulesOnlyAskForMore",
		}, {
			Name: "a parameter twice", Why: "backends differ in which they take (hospital A5)",
			File: "routes/when.go", Old: "case len(found) > 1 || value == \"*\":", New: "case value == \"*\":",
			Package: contract, Test: "TestRulesOnlyAskForMore",
		}, {
			Name: "fields in the query", Why: "many backends make one set of both (hospital A5)",
			File: "routes/when.go", Old: "return err != nil || Fields{form: form}.Has(pointer)", New: "return err != nil && Fields{form: form}.Has(pointer)",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "bodies of an unknown type", Why: "another content type must not hide a field (hospital A5)",
			File: "routes/fields.go", Old: "\t\treturn multipartFields(body, params[\"boundary\"])\n\t}\n\treturn OpaqueFields", New: "\t\treturn multipartFields(body, params[\"boundary\"])\n\t}\n\treturn Fields{}",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "JSON said to be a form", Why: "some backends read it whatever it is said to be (hospital A5)",
			File: "routes/fields.go", Old: "if err != nil || isNoForm(body) {", New: "if err != nil {",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "compressed bodies", Why: "what cannot be read has every field (hospital A5)",
			File: "routes/fields.go", Old: `|| contentEncoding != "" && contentEncoding != "identity" `, New: "",
			Also: []Edit{{"routes/fields.go", "if repeatsName(body) {\n\t\treturn OpaqueFields", "if repeatsName(body) {\n\t\treturn Fields{}"},
				{"routes/fields.go", "if err := json.Unmarshal(body, &v); err != nil {\n\t\treturn OpaqueFields", "if err := json.Unmarshal(body, &v); err != nil {\n\t\treturn Fields{}"}},
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "oversized bodies", Why: "what is too long to read has every field (hospital A5)",
			File: "proxy/body.go", Old: "x.req.Fields = routes.OpaqueFields", New: "x.req.Fields = routes.Fields{}",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "a JSON name twice", Why: "parsers differ in which they keep (hospital A5)",
			File: "routes/fields.go", Old: "if stack[top].names[folded] {\n\t\t\t\t\treturn true", New: "if stack[top].names[folded] {\n\t\t\t\t\treturn false",
			Package: contract, Test: "TestSensitiveFields",
		}, {
			Name: "method overrides", Why: "a rule for POST must not be talked out of it (B7; hospital A5)",
			File: "proxy/headers.go", Old: `"xhttpmethodoverride", "xmethodoverride", "xhttpmethod", "xmethod",`, New: "",
			Package: contract, Test: "TestHeaderNames",
		},
	}
}
