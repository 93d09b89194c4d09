package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A peer is another proxy that may be installed.
type peer struct {
	name    string
	program string // on the path, or a file that the environment names
	needs   string // a file that has to be there too; "" for none
	config  func(port, backend string) peerSetup
	cookie  string // what its session's cookies begin with; "": it asks nobody who they are
}

type peerSetup struct {
	file, text string
	args       []string
}

const oidcModule = "/usr/lib/apache2/modules/mod_auth_openidc.so"

// peers starts the other proxies that are installed, and says which are not.
// Some only carry; those that sign people in do so before they are measured.
func (w *world) peers() (all []contender, missing []string) {
	for _, p := range []peer{
		{name: "nginx", program: "nginx", config: w.nginx},
		{name: "haproxy", program: "haproxy", config: w.haproxy},
		{name: "caddy", program: "caddy", config: w.caddy},
		{name: "mod_auth_openidc", program: "apache2", needs: oidcModule, config: w.apache, cookie: "mod_auth_openidc"},
		{name: "oauth2-proxy", program: cmp.Or(os.Getenv("OAUTH2_PROXY"), "oauth2-proxy"), config: w.oauth2Proxy, cookie: "_oauth2_proxy"},
	} {
		c, there, err := w.peer(p)
		switch {
		case err != nil: // no reason to measure nothing
			missing = append(missing, fmt.Sprintf("%s (%v)", p.name, err))
		case !there:
			missing = append(missing, p.name)
		default:
			all = append(all, c)
		}
	}
	return all, missing
}

// peer starts p, unless it is not there.
func (w *world) peer(p peer) (c contender, there bool, err error) {
	program, err := exec.LookPath(p.program)
	if err != nil {
		return c, false, nil //nolint:nilerr // it is not installed, which is no mistake
	}
	if p.needs != "" {
		if _, err := os.Stat(p.needs); err != nil {
			return c, false, nil //nolint:nilerr // as above
		}
	}
	port, err := freePort()
	if err != nil {
		return c, false, err
	}
	backend, err := url.Parse(w.backendURL)
	if err != nil {
		return c, false, err
	}
	set := p.config(port, backend.Host)
	if err := os.WriteFile(set.file, []byte(set.text), 0o600); err != nil {
		return c, false, err
	}
	run, err := start(p.name, w.proxies, program, set.args...)
	if err != nil {
		return c, false, err
	}
	c = contender{name: p.name, p: run, at: w.target(port)}
	err = run.listening("127.0.0.1:" + port)
	if err == nil && p.cookie != "" {
		err = c.at.signIn(p.cookie)
	} else {
		c.at.Header = nil
	}
	if err != nil {
		run.stop()
		return c, false, fmt.Errorf("%w\n%s", err, &run.log)
	}
	return c, true, nil
}

func (w *world) nginx(port, backend string) peerSetup {
	file := filepath.Join(w.dir, "nginx.conf")
	return peerSetup{file, fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log /dev/null;
events { worker_connections 16384; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 100000000;
  upstream app { server %[3]s; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%[2]s ssl http2; server_name ehr.test; ssl_certificate %[4]s; ssl_certificate_key %[5]s;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; }
  }
}
`, w.dir, port, backend, w.cert, w.key), []string{"-c", file, "-p", w.dir}}
}

func (w *world) haproxy(port, backend string) peerSetup {
	file := filepath.Join(w.dir, "haproxy.cfg")
	return peerSetup{file, fmt.Sprintf(`global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
frontend tls
  bind 127.0.0.1:%s ssl crt %s/both.pem alpn h2,http/1.1
  default_backend app
backend app
  http-reuse always
  server one %s
`, port, w.dir, backend), []string{"-f", file, "-db"}}
}

func (w *world) caddy(port, backend string) peerSetup {
	file := filepath.Join(w.dir, "Caddyfile")
	return peerSetup{file, fmt.Sprintf(`{
	admin off
	auto_https off
	storage file_system %[1]s/caddy
}
https://ehr.test:%[2]s {
	bind 127.0.0.1
	tls %[4]s %[5]s
	reverse_proxy %[3]s
}
`, w.dir, port, backend, w.cert, w.key), []string{"run", "--config", file, "--adapter", "caddyfile"}}
}

// apache signs people in with mod_auth_openidc, whose session lies in shared
// memory, and passes the claim that the gateway passes.
func (w *world) apache(port, backend string) peerSetup {
	file := filepath.Join(w.dir, "httpd.conf")
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "socache_shmcb", "ssl", "http2", "headers", "proxy", "proxy_http", "auth_openidc"} {
		fmt.Fprintf(&modules, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	return peerSetup{file, fmt.Sprintf(`ServerRoot %[1]s
ServerName ehr.test
PidFile %[1]s/httpd.pid
DefaultRuntimeDir %[1]s
ErrorLog /dev/stderr
LogLevel error
%[2]s
Listen 127.0.0.1:%[3]s
ServerLimit 1
StartServers 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
MaxKeepAliveRequests 0
KeepAliveTimeout 300
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile %[4]s
SSLCertificateKeyFile %[5]s
OIDCProviderMetadataURL %[6]s/.well-known/openid-configuration
OIDCClientID anteroom
OIDCClientSecret %[7]s
OIDCCryptoPassphrase of-no-importance
OIDCRedirectURI https://ehr.test:%[3]s/redirect_uri
OIDCScope "openid profile groups"
OIDCPKCEMethod S256
OIDCCacheType shm
OIDCRemoteUserClaim preferred_username
ProxyPass /redirect_uri !
ProxyPass / http://%[8]s/ keepalive=On max=256
<Location />
  AuthType openid-connect
  Require valid-user
  RequestHeader set X-Remote-User expr=%%{REMOTE_USER}
</Location>
`, w.dir, &modules, port, w.cert, w.key, w.provider.URL, w.provider.ClientSecret, backend), []string{"-f", file, "-D", "FOREGROUND"}}
}

func (w *world) oauth2Proxy(port, backend string) peerSetup {
	file := filepath.Join(w.dir, "oauth2-proxy.cfg")
	return peerSetup{file, fmt.Sprintf(`provider = "oidc"
oidc_issuer_url = %[1]q
client_id = "anteroom"
client_secret = %[2]q
cookie_secret = "0123456789abcdef0123456789abcdef"
email_domains = ["*"]
oidc_email_claim = "sub"
insecure_oidc_allow_unverified_email = true
code_challenge_method = "S256"
skip_provider_button = true
redirect_url = "https://ehr.test:%[3]s/oauth2/callback"
http_address = ""
https_address = "127.0.0.1:%[3]s"
tls_cert_file = %[4]q
tls_key_file = %[5]q
upstreams = ["http://%[6]s/"]
request_logging = false
standard_logging = false
auth_logging = false
`, w.provider.URL, w.provider.ClientSecret, port, w.cert, w.key, backend), []string{"--config", file}}
}
