package session

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Former returns a record of every field, each with a value of its own, as
// earlier versions kept it.
func Former(id string) []byte {
	rec := new(record)
	n := 0
	fill(reflect.ValueOf(rec).Elem(), &n)
	rec.ID = id
	text, err := json.Marshal(rec)
	if err != nil {
		panic(err)
	}
	return text
}

func fill(v reflect.Value, n *int) {
	*n++
	if t, ok := v.Addr().Interface().(*time.Time); ok {
		*t = time.Unix(int64(*n)<<27, int64(*n)).UTC()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	default:
		panic("a record has a " + v.Type().String())
	}
}

// Recode returns what a kept record says, in JSON, and as it would be kept now.
func Recode(id string, kept []byte) (says string, now []byte, err error) {
	rec, err := decodeRecord(id, kept)
	if err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(rec)
	return string(text), rec.encode(), err
}

// Decode reads a kept record.
func Decode(id string, kept []byte) error {
	_, err := decodeRecord(id, kept)
	return err
}

// MarshalText writes d in base64url.
func (d digest) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, d[:]), nil
}

// MarshalText writes s in base64url.
func (s short) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, s[:]), nil
}
