package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/posture"
	"github.com/anteroom/anteroom/routes"
)

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain -c FILE [flags] METHOD URL",
		Short: "What would become of a request, and why",
		Long: `Prints the route that governs a request, each rule that matches it, what they
ask, and the verdict for the person and the device that the flags describe.

--device names a posture profile that the device meets, or none, or a JSON file
with posture fields (as named under posture.sources[].map).`,
		Example: "  anteroom explain -c anteroom.yaml --as nurse --device clinical --login-age 20m POST https://rx.hospital.example/orders/7",
		Args:    exactly(2, "METHOD URL"),
	}
	file := configFlag(cmd)
	as := cmd.Flags().StringSlice("as", nil, "roles of the person; none: nobody is signed in")
	device := cmd.Flags().String("device", "none", "a profile that the device meets, none, or a FILE of posture fields")
	age := cmd.Flags().String("login-age", "0s", "how long ago the person signed in")
	acr := cmd.Flags().String("acr", "", "acr of the sign-in")
	amr := cmd.Flags().StringSlice("amr", nil, "amr of the sign-in")
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	completes(cmd, "as", file, func(c *config.Config) []string {
		var names []string
		for _, r := range c.Roles {
			names = append(names, r.Name)
		}
		return names
	})
	completes(cmd, "device", file, func(c *config.Config) []string {
		names := []string{"none"}
		for _, p := range c.Posture.Profiles {
			names = append(names, p.Name)
		}
		return names
	})
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := load(*file)
		if err != nil {
			return err
		}
		s := config.Situation{Method: strings.ToUpper(args[0]), SignedIn: cmd.Flags().Changed("as"), Roles: *as, ACR: *acr, AMR: *amr}
		if s.LoginAge, err = config.ParseDuration(*age); err != nil {
			return usageError{fmt.Errorf("--login-age: %w", err)}
		}
		if s.Host, s.Target, err = target(args[1]); err != nil {
			return usageError{err}
		}
		now := time.Now()
		if s.Posture, err = deviceOf(l, *device, now); err != nil {
			return usageError{fmt.Errorf("--device: %w", err)}
		}
		j, err := config.Judge(l.Table, s, now)
		if err != nil {
			return fmt.Errorf("%s %s: %w", s.Method, args[1], err)
		}
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), asValue(j))
		}
		return explain(cmd.OutOrStdout(), j)
	}
	return cmd
}

// target takes a URL apart into host and request target.
func target(raw string) (host, target string, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", "", fmt.Errorf("%q is not a URL with a host, such as https://rx.hospital.example/orders/7", raw)
	}
	rest := raw[strings.Index(raw, "://")+3:]
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		target = rest[i:]
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return strings.ToLower(u.Hostname()), target, nil
}

// deviceOf returns the posture of a device that meets a profile, or that a
// file of posture fields describes, as a sender of the configuration would.
func deviceOf(l *gateway.Loaded, name string, now time.Time) (access.Posture, error) {
	if p, ok := l.Config.Profile(name); ok {
		return p.Example(now), nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return access.Posture{}, fmt.Errorf("%q is no posture profile, and no file: %w", name, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return access.Posture{}, fmt.Errorf("read %s: %w", name, err)
	}
	source := posture.Source{Name: "file", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, AssertionMaxAge: 15 * time.Minute, Map: map[string]string{}}
	h := http.Header{}
	for field, value := range fields {
		header := "X-Field-" + strings.ReplaceAll(field, "_", "-")
		source.Map[field] = http.CanonicalHeaderKey(header)
		h.Set(header, fmt.Sprint(value))
	}
	p, err := posture.New([]posture.Source{source}).Read(posture.Peer{Addr: netip.MustParseAddr("127.0.0.1")}, h, now)
	if p.DeviceID != "" {
		p.Assurance = access.A4 // how well it is proven is not what the file is about
	}
	return p, err
}

func explain(w io.Writer, j config.Judgement) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	r := j.Route
	fmt.Fprintf(t, "route\t%s\t(%s%s)\n", r.Name, r.Host, r.Prefix)
	fmt.Fprintf(t, "grants\t%s\tdevice %s\n", grants(r), r.Device.Name)
	for _, d := range j.Need.Demands {
		fmt.Fprintf(t, "rule\t%s\tasks %s\n", d.Rule, demands(d))
	}
	for _, d := range j.Need.Observed {
		fmt.Fprintf(t, "observed\t%s\twould ask %s\n", d.Rule, demands(d))
	}
	if len(j.Need.Demands)+len(j.Need.Observed) == 0 {
		fmt.Fprintf(t, "rule\tnone matches\t\n")
	}
	for _, f := range j.Decision.Failed {
		fmt.Fprintf(t, "fails\t%s\t%s\n", f.Check, failure(f))
	}
	fmt.Fprintf(t, "verdict\t%s\t%s", j.Decision.Verdict, j.Decision.Reason)
	if j.Decision.Rule != "" {
		fmt.Fprintf(t, ", by rule %q", j.Decision.Rule)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

func asValue(j config.Judgement) any {
	type rule struct {
		Name     string `json:"name"`
		Asks     string `json:"asks"`
		Observed bool   `json:"observed,omitempty"`
	}
	out := struct {
		Route   string   `json:"route"`
		Rules   []rule   `json:"rules"`
		Verdict string   `json:"verdict"`
		Reason  string   `json:"reason"`
		Rule    string   `json:"rule,omitempty"`
		Failed  []string `json:"failed,omitempty"`
	}{Route: j.Route.Name, Rules: []rule{}, Verdict: j.Decision.Verdict.String(), Reason: string(j.Decision.Reason), Rule: j.Decision.Rule}
	for _, d := range j.Need.Demands {
		out.Rules = append(out.Rules, rule{d.Rule, demands(d), false})
	}
	for _, d := range j.Need.Observed {
		out.Rules = append(out.Rules, rule{d.Rule, demands(d), true})
	}
	for _, f := range j.Decision.Failed {
		out.Failed = append(out.Failed, f.Check)
	}
	return out
}

func grants(r *routes.Route) string {
	if r.Public {
		return "public"
	}
	return strings.Join(r.Allow, ", ")
}

func demands(d access.Demand) string {
	var parts []string
	if len(d.Roles) > 0 {
		parts = append(parts, "role "+strings.Join(d.Roles, " or "))
	}
	if d.Login != nil {
		parts = append(parts, "login "+d.Login.Name)
	}
	if d.Within > 0 {
		parts = append(parts, "signed in within "+d.Within.String())
	}
	if d.EachTime {
		parts = append(parts, "a sign-in each time")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func failure(f access.Failure) string {
	switch {
	case f.Missing() && f.Want != "":
		return f.Fact + " is not known, must be " + f.Want
	case f.Missing():
		return f.Fact + " is not known"
	case f.Want == "":
		return f.Fact + " is " + f.Have
	}
	return f.Fact + " is " + f.Have + ", must be " + f.Want
}

func routesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes -c FILE",
		Short: "What each route and rule asks, after merging",
		Args:  noArgs,
	}
	file := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := load(*file)
		if err != nil {
			return err
		}
		rows := effective(l)
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), rows)
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ROUTE\tHOST\tPATH\tMETHODS\tRULE\tGRANTS\tDEVICE\tASKS\tLOCK\tEND")
		for _, r := range rows {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Route, r.Host, r.Path, r.Methods, r.Rule, r.Grants, r.Device, r.Asks, r.Lock, r.End)
		}
		return t.Flush()
	}
	return cmd
}

// A row is one line of the effective table: a route's own, or a rule's.
type row struct {
	Route    string `json:"route"`
	Host     string `json:"host"`
	Path     string `json:"path"`
	Methods  string `json:"methods"`
	Rule     string `json:"rule,omitempty"`
	Grants   string `json:"grants"`
	Device   string `json:"device"`
	Asks     string `json:"asks,omitempty"`
	Lock     string `json:"lock_after,omitempty"`
	End      string `json:"end_after,omitempty"`
	Observed bool   `json:"observed,omitempty"`
}

func effective(l *gateway.Loaded) []row {
	var rows []row
	for _, r := range l.Config.Routes {
		limits := l.Config.Sessions.Tighten(r.Session)
		base := row{Route: r.Name, Host: r.Host, Path: r.Prefix, Methods: strings.Join(r.Methods, ","), Grants: grants(r), Device: r.Device.Name}
		if !r.Public {
			base.Lock, base.End = limits.LockAfter.String(), limits.EndAfter.String()
		}
		rows = append(rows, base)
		for _, rule := range r.Rules {
			one := base
			one.Rule, one.Asks, one.Observed = rule.Demand.Rule, demands(rule.Demand), rule.Observe
			if one.Observed {
				one.Asks += " (observed)"
			}
			if len(rule.Demand.Roles) > 0 {
				one.Grants = strings.Join(r.Allow, ", ") + " who also: " + strings.Join(rule.Demand.Roles, ", ")
			}
			if len(rule.When.Methods) > 0 {
				one.Methods = strings.Join(rule.When.Methods, ",")
			}
			if rule.When.Path != nil {
				one.Path = rule.When.Path.String()
			}
			rows = append(rows, one)
		}
	}
	return rows
}
