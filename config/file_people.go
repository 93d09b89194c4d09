package config

import (
	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// The shapes of what says who people are: providers, logins and roles.
type (
	provider struct {
		place
		Name         name       `yaml:"name" need:"yes" doc:"what routes and records call it"`
		Label        text       `yaml:"label" doc:"what people call it, on the page where they choose; its name unless said"`
		Issuer       address    `yaml:"issuer" need:"yes" doc:"its issuer URL, exactly as it writes it: https, or http on a loopback address; no two providers share one"`
		ClientID     text       `yaml:"client_id" need:"yes" doc:"the name under which the gateway is registered there"`
		ClientSecret secret     `yaml:"client_secret" doc:"a ${file:PATH} or ${env:NAME} that holds the secret; never the secret itself; this or client_key is given"`
		ClientKey    keyRef     `yaml:"client_key" doc:"a ${file:PATH} or ${env:NAME} that holds a private key in PEM (RSA, P-256 or Ed25519), for private_key_jwt; with a certificate beside it, that is named in each assertion"`
		ClientKeyID  text       `yaml:"client_key_id" doc:"the kid under which the key is registered; its thumbprint unless said"`
		ACRValues    list[text] `yaml:"acr_values" doc:"acr values to ask for at a sign-in that asks for no stronger one"`
		AskByClaims  flag       `yaml:"ask_by_claims" doc:"true: acr values are asked for by the claims parameter, as essential, instead of acr_values"`
		Scopes       list[text] `yaml:"scopes" default:"[openid, profile, email]" doc:"the scopes to ask for; openid is one of them"`
		Claims       claims     `yaml:"claims" doc:"which claims say what, in the ID token or else in userinfo of the same sub"`
	}

	claims struct {
		place
		Username text `yaml:"username" default:"preferred_username" doc:"the claim that backends get as the user name"`
		Name     text `yaml:"name" default:"name" doc:"the claim that is shown as the name of a person"`
		Groups   text `yaml:"groups" default:"groups" doc:"the claim that lists groups, from which roles follow; array[member=claim].rest picks from an array of objects"`
		ACR      text `yaml:"acr" default:"acr" doc:"the claim of the ID token that says how strongly they signed in: a text, or a list"`
	}

	login struct {
		place
		ACR       list[text]            `yaml:"acr" doc:"acr values, any of which proves it"`
		AMR       list[text]            `yaml:"amr" doc:"amr values, any of which proves it too"`
		Ask       list[text]            `yaml:"ask" doc:"acr values to ask the provider for, the most wanted first; those of acr unless said"`
		Providers table[name, strength] `yaml:"providers" doc:"instead of the keys above: what proves it at each provider that is named; no other proves it"`
	}

	strength struct {
		place
		ACR list[text] `yaml:"acr" doc:"as above, of this provider"`
		AMR list[text] `yaml:"amr" doc:"as above, of this provider"`
		Ask list[text] `yaml:"ask" doc:"as above, of this provider"`
	}

	role struct {
		place
		Groups    list[text]              `yaml:"groups" doc:"whoever is in one of these groups holds the role; this or providers is given"`
		Providers table[name, roleGroups] `yaml:"providers" doc:"instead of groups: the groups of each provider that is named; no other gives the role"`
	}

	roleGroups struct {
		place
		Groups list[text] `yaml:"groups" need:"yes" doc:"as above, of this provider"`
	}
)

// Names is one name, or a list of them.
type names struct {
	place
	list[name]
}

func (v *names) read(d *decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		v.Items = make([]name, 1)
		before := len(d.mistakes)
		d.value(&v.Items[0], n)
		v.Bad = len(d.mistakes) > before
		return
	}
	v.list.read(d, n)
	if len(v.Items) == 0 && !v.Bad {
		d.mistake(placeOf(n), "%s lists none", d.name())
		v.Bad = true
	}
}

// spelling makes names comparable: a list names each of them once.
func (v name) spelling() string { return v.V }

func (*names) schema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{schemaFor[name](), (&list[name]{}).schema()}}
}
