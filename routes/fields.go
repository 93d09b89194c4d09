package routes

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
)

// Fields are the names in a request body, for rules that ask by field. The
// zero Fields are those of a request without a body.
type Fields struct {
	opaque bool // could not be read: counts as having every field
	json   any
	form   url.Values
}

// MaxFields is how much of a body is read for its fields; a longer one counts
// as having every field.
const MaxFields = 64 << 10

// OpaqueFields are those of a body that cannot be read, or is too long.
var OpaqueFields = Fields{opaque: true}

// ParseFields reads the fields of a whole body. A body that is not an UTF-8
// JSON object, a URL-encoded form or a multipart form, or that is compressed,
// is opaque.
func ParseFields(contentType, contentEncoding string, body []byte) Fields {
	if len(body) == 0 {
		return Fields{}
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || contentEncoding != "" && contentEncoding != "identity" || len(body) > MaxFields {
		return OpaqueFields
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return OpaqueFields
	}
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return jsonFields(body)
	case media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil || isNoForm(body) {
			return OpaqueFields
		}
		return Fields{form: form}
	case media == "multipart/form-data":
		return multipartFields(body, params["boundary"])
	}
	return OpaqueFields
}

// isNoForm reports whether body begins as JSON or XML does, which some backends
// read whatever it is said to be.
func isNoForm(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n\ufeff")
	return len(text) > 0 && strings.IndexByte("{[<", text[0]) >= 0
}

func jsonFields(body []byte) Fields {
	if repeatsName(body) {
		return OpaqueFields
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return OpaqueFields
	}
	if _, ok := v.(map[string]any); !ok {
		return OpaqueFields // an array may be a batch of such objects
	}
	return Fields{json: v}
}

// repeatsName reports whether an object in body has one name twice (in any
// case), or body is no JSON: parsers differ in which of the two they keep.
func repeatsName(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	type level struct {
		names map[string]bool // nil in an array
		key   bool            // the next token is a name
	}
	var stack []level
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return false
		}
		if err != nil || len(stack) > 100 {
			return true
		}
		if top := len(stack) - 1; top >= 0 && stack[top].key {
			if name, ok := tok.(string); ok {
				folded := strings.ToLower(name)
				if stack[top].names[folded] {
					return true
				}
				stack[top].names[folded] = true
				stack[top].key = false
				continue
			}
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}, key: true})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if top := len(stack) - 1; top >= 0 && stack[top].names != nil {
			stack[top].key = true
		}
	}
}

func multipartFields(body []byte, boundary string) Fields {
	if boundary == "" {
		return OpaqueFields
	}
	form := url.Values{}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return Fields{form: form}
		}
		if err != nil || part.FormName() == "" || len(form) > 1000 {
			return OpaqueFields
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return OpaqueFields
		}
		form.Add(part.FormName(), string(value))
	}
}

// Has reports whether the body has the field that pointer names (RFC 6901),
// compared without regard to case. Of a form, /a/b is the name a[b] or a.b, and
// /a every name that begins so. What cannot be read has every field.
func (f Fields) Has(pointer string) bool {
	if f.opaque {
		return true
	}
	want := pointerSegments(pointer)
	for name := range f.form {
		have := formSegments(name)
		if len(have) >= len(want) && equalSegments(have[:len(want)], want) {
			return true
		}
	}
	return f.json != nil && hasPointer(f.json, want)
}

// Value returns the value of a form's field, or the string or number at the
// top of a JSON object; "" when there is none or it cannot be read.
func (f Fields) Value(name string) string {
	name = strings.TrimPrefix(name, "/")
	if v, ok := f.form[name]; ok {
		return strings.Join(v, ",")
	}
	object, _ := f.json.(map[string]any)
	switch v := object[name].(type) {
	case string:
		return v
	case float64:
		text, _ := json.Marshal(v)
		return string(text)
	}
	return ""
}

func hasPointer(v any, want []string) bool {
	if len(want) == 0 {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			if strings.EqualFold(name, want[0]) && hasPointer(child, want[1:]) {
				return true
			}
		}
	case []any:
		// The pointer may name an index; without one it is about any element.
		for _, child := range v {
			if hasPointer(child, want) || hasPointer(child, want[1:]) {
				return true
			}
		}
	}
	return false
}

func pointerSegments(pointer string) []string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts
}

func formSegments(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("[]./:", r) })
}

func equalSegments(a, b []string) bool {
	for i := range a {
		if !strings.EqualFold(a[i], b[i]) {
			return false
		}
	}
	return true
}
