package held

import (
	"bytes"
	"mime"
	"strings"
)

// Field is the form field that carries a release token.
const Field = "anteroom_release"

const maxForm = 128 // bytes of a body that may be a release

// Token returns the release token that a request's body is, and whether it is
// one: a form of this one field and nothing else. What is not is the
// application's, also when it is nearly one. Whether the token is good, only
// [Keeper.Redeem] says.
func Token(contentType string, body []byte) (string, bool) {
	if len(body) > maxForm {
		return "", false
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return "", false
	}
	for name, value := range params { // some browsers say the charset of forms
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return "", false
		}
	}
	text, ok := bytes.CutPrefix(body, []byte(Field+"="))
	if !ok || !isSecret(string(text)) {
		return "", false
	}
	return string(text), true
}
