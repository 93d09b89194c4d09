package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

// peers starts the other proxies that are installed, and says which are not.
// They carry the same requests without asking who sends them.
func (w *world) peers() (all []contender, missing []string, err error) {
	for _, p := range []struct {
		program string
		config  func(port, backend string) (file, text string, args []string)
	}{
		{"nginx", w.nginx},
		{"haproxy", w.haproxy},
		{"caddy", nil},
		{"oauth2-proxy", nil},
	} {
		program, err := exec.LookPath(p.program)
		if err != nil {
			missing = append(missing, p.program)
			continue
		}
		if p.config == nil {
			missing = append(missing, p.program+" (installed, but this suite does not drive it)")
			continue
		}
		port, err := freePort()
		if err != nil {
			return all, missing, err
		}
		backend, err := url.Parse(w.backendURL)
		if err != nil {
			return all, missing, err
		}
		file, text, args := p.config(port, backend.Host)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return all, missing, err
		}
		run, err := start(p.program, w.proxies, program, args...)
		if err != nil {
			return all, missing, err
		}
		if err := run.listening("127.0.0.1:" + port); err != nil {
			run.stop()
			return all, missing, err
		}
		all = append(all, contender{p.program, run, w.target(port)})
	}
	return all, missing, nil
}

func (w *world) nginx(port, backend string) (file, text string, args []string) {
	file = filepath.Join(w.dir, "nginx.conf")
	return file, fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log /dev/null;
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
`, w.dir, port, backend, w.cert, w.key), []string{"-c", file, "-p", w.dir}
}

func (w *world) haproxy(port, backend string) (file, text string, args []string) {
	file = filepath.Join(w.dir, "haproxy.cfg")
	return file, fmt.Sprintf(`global
  nbthread 1
  maxconn 16384
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
`, port, w.dir, backend), []string{"-f", file, "-db"}
}
