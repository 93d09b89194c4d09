package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/audit"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key {DIR | -c FILE}",
		Short: "The public key that signs the audit trail",
		Long: `Prints the key and its fingerprint, to be kept somewhere else. Later,
'anteroom audit verify --key' believes what this key signed and nothing else.`,
		Example: `  anteroom audit key -c anteroom.yaml > trail.pub     # and away with it
  anteroom audit verify -c anteroom.yaml --key trail.pub`,
	}
	trail := trailFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		key, err := audit.SigningKey(dir)
		if err != nil {
			return err
		}
		text := base64.StdEncoding.EncodeToString(key)
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), map[string]string{"key": text, "fingerprint": fingerprint(key)})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", text, fingerprint(key))
		return err
	}
	return cmd
}

// fingerprint names a key by its hash.
func fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// pins are the keys that may have signed, by fingerprint.
type pins []string

// add takes a key in base64, a fingerprint, or a file that holds any of these.
func (p *pins) add(text string) error {
	if one, ok := pin(text); ok {
		*p = append(*p, one)
		return nil
	}
	content, err := os.ReadFile(text)
	if err != nil {
		return fmt.Errorf("neither a key, nor a fingerprint, nor a file: %w", err)
	}
	before := len(*p)
	for word := range strings.FieldsSeq(string(content)) {
		if one, ok := pin(word); ok {
			*p = append(*p, one)
		}
	}
	if len(*p) == before {
		return fmt.Errorf("%s holds neither a key nor a fingerprint", text)
	}
	return nil
}

func pin(text string) (string, bool) {
	if digits, ok := strings.CutPrefix(text, "sha256:"); ok {
		b, err := hex.DecodeString(digits)
		return "sha256:" + strings.ToLower(digits), err == nil && len(b) == sha256.Size
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return "", false
	}
	return fingerprint(b), true
}

// hold notes in r when another key than these has signed.
func (p pins) hold(r *audit.Report) {
	if r.Problem != nil {
		return
	}
	if len(r.Keys) == 0 {
		r.Problem = &audit.Problem{File: "head", What: "nothing is signed"}
	}
	for _, key := range r.Keys {
		if !slices.Contains(p, fingerprint(key)) {
			r.Problem = &audit.Problem{File: "checkpoints", What: "are signed by another key: " + fingerprint(key)}
		}
	}
}

// holdCopies notes in r what copies of checkpoints have and the trail has not.
func holdCopies(r *audit.Report, dir, copies string) (compared int, err error) {
	if copies == "" || r.Problem != nil {
		return 0, nil
	}
	r.Problem, compared, err = audit.Compare(dir, copies)
	if err == nil && compared == 0 && r.Problem == nil {
		err = errors.New("the copies hold nothing of what is kept: they prove nothing")
	}
	return compared, err
}
