package audit

// A field is a key of the record, or the place of one that has none.
type field uint

const (
	noField field = iota
	fSeq
	fTime
	fEvent
	fVerdict
	fReason
	fRoute
	fRule
	fHost
	fMethod
	fPath
	fStatus
	fSubject
	fIssuer
	fSub
	fUsername
	fRoles
	fClient
	fSession
	fDevice
	fID
	fAssurance
	fSender
	fFailed
	fWarned
	fDeadline
	fLastKnown
	fLogin
	fACR
	fAMR
	fAuthTime
	fPatient
	fSourceIP
	fRequestID
	fTraceID
	fSpanID
	fTraceFlags
	fPurposeOfUse
	fDisclosure
	fRecipient
	fPurpose
	fJudged
	fObserved
	fSeenRule
	fSeenVerdict
	fSeenReason
	fDetail
	fBegins
	fGaps
	fKey
	fPrev
	fSig
	fields
)

// fieldOf returns what key means in the object that is the value of in; noField
// is the record itself.
func fieldOf(in field, key string) field {
	switch in {
	case fSubject:
		switch key {
		case "issuer":
			return fIssuer
		case "sub":
			return fSub
		case "username":
			return fUsername
		case "roles":
			return fRoles
		}
	case fDevice:
		switch key {
		case "id":
			return fID
		case "assurance":
			return fAssurance
		case "sender":
			return fSender
		case "failed":
			return fFailed
		case "warned":
			return fWarned
		case "deadline":
			return fDeadline
		case "last_known":
			return fLastKnown
		}
	case fLogin:
		switch key {
		case "acr":
			return fACR
		case "amr":
			return fAMR
		case "auth_time":
			return fAuthTime
		}
	case fDisclosure:
		switch key {
		case "recipient":
			return fRecipient
		case "purpose":
			return fPurpose
		}
	case fObserved:
		switch key {
		case "rule":
			return fSeenRule
		case "verdict":
			return fSeenVerdict
		case "reason":
			return fSeenReason
		}
	case noField:
		return recordField(key)
	}
	return noField
}

func recordField(key string) field {
	switch key {
	case "seq":
		return fSeq
	case "time":
		return fTime
	case "event":
		return fEvent
	case "verdict":
		return fVerdict
	case "reason":
		return fReason
	case "route":
		return fRoute
	case "rule":
		return fRule
	case "host":
		return fHost
	case "method":
		return fMethod
	case "path":
		return fPath
	case "status":
		return fStatus
	case "subject":
		return fSubject
	case "client":
		return fClient
	case "session":
		return fSession
	case "device":
		return fDevice
	case "login":
		return fLogin
	case "patient":
		return fPatient
	case "source_ip":
		return fSourceIP
	case "request_id":
		return fRequestID
	case "trace_id":
		return fTraceID
	case "span_id":
		return fSpanID
	case "trace_flags":
		return fTraceFlags
	case "purpose_of_use":
		return fPurposeOfUse
	case "disclosure":
		return fDisclosure
	case "judged":
		return fJudged
	case "observed":
		return fObserved
	case "detail":
		return fDetail
	case "begins":
		return fBegins
	case "gaps":
		return fGaps
	case "key":
		return fKey
	case "prev":
		return fPrev
	case "sig":
		return fSig
	}
	return noField
}
