package authn

import (
	"context"
	"errors"
	"strings"

	"github.com/anteroom/anteroom/access"
)

// describe fills in who the person is for others: from the ID token, and what
// it lacks from userinfo (Core, section 5.3), which must be of the same sub.
//
// A user name or groups that could not be asked for end the sign-in: with the
// sub in place of the name, a backend would take the person for somebody new.
// Once userinfo answered, or there is none, what is missing does not exist:
// the sub stands in for the user name, no groups admit nowhere. Groups that the
// provider says it left out do exist: they end the sign-in, with [ErrGroups].
func (p *Provider) describe(ctx context.Context, doc *document, id claims, accessToken string, who *access.Authentication) error {
	names := p.cfg.Claims
	picked, picks := parsePick(names.Groups)
	lacks := func(path string) bool {
		if picks && path == names.Groups {
			return id.at(picked.array) == nil || id.at(picked.claim) == nil
		}
		return path != "" && id.at(path) == nil
	}
	info := claims{}
	if doc.UserInfo != "" && (lacks(names.Username) || lacks(names.Name) || lacks(names.Groups)) {
		var err error
		info, err = p.userInfo(ctx, doc, accessToken, who.Subject.Sub)
		if _, wrong := errors.AsType[*ClaimError](err); wrong {
			return err
		}
		if err != nil && (lacks(names.Username) || lacks(names.Groups)) {
			return &UnavailableError{Issuer: doc.Issuer, Err: err}
		}
		if err != nil { // only the display name is lost
			p.log.Warn("userinfo cannot be fetched; sign-in goes on without a name", "error", err)
		}
	}
	from := func(path string) claims {
		if id.at(path) != nil {
			return id
		}
		return info
	}
	var err error
	if who.Username, err = from(names.Username).username(names.Username); err != nil {
		return err
	}
	if who.Username == "" {
		who.Username = who.Subject.Sub
	}
	who.Name = from(names.Name).displayName(names.Name)
	if picks {
		who.Groups = picked.from(from(picked.array), from(picked.claim))
		return nil
	}
	groups := from(names.Groups).at(names.Groups)
	if groups == nil && names.Groups != "" && (id.leavesOut(names.Groups) || info.leavesOut(names.Groups)) {
		return ErrGroups
	}
	who.Groups = words(groups)
	return nil
}

// userInfo asks for the claims about sub.
func (p *Provider) userInfo(ctx context.Context, doc *document, accessToken, sub string) (claims, error) {
	var c claims
	if err := getJSON(ctx, p.client, doc.UserInfo, accessToken, &c); err != nil {
		return nil, err
	}
	if c.text("sub") != sub {
		return nil, &ClaimError{Claim: "sub", Want: "the same in userinfo as in the ID token"}
	}
	return c, nil
}

// username returns the user name at path; "" when there is none. A name that
// cannot be one is a [*ClaimError]: cut short, it could be another person's.
func (c claims) username(path string) (string, error) {
	raw := c.at(path)
	if raw == nil {
		return "", nil
	}
	name, ok := asText(raw)
	if ok && name == "" {
		return "", nil
	}
	if !ok || !isIdentifier(name, maxWord) {
		return "", &ClaimError{Claim: path, Want: "1 to 256 bytes of text"}
	}
	if path == "email" && c.has("email_verified") && strings.Trim(string(c["email_verified"]), ` "`) != "true" {
		return "", nil // an address that anybody could claim names nobody
	}
	return name, nil
}

// displayName returns the name at path, cut to its first 256 bytes; "" for none.
func (c claims) displayName(path string) string {
	name, _ := asText(c.at(path))
	if len(name) > maxWord {
		name = strings.ToValidUTF8(name[:maxWord], "")
	}
	return name
}
