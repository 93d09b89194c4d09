package config

// The shapes of the configuration file, key by key. See [shape] for the tags.
type (
	file struct {
		place
		Gateway   gateway            `yaml:"gateway" need:"yes" doc:"the gateway itself: its address, its listeners, its data"`
		TLS       tlsKeys            `yaml:"tls" need:"yes" doc:"how it proves itself to browsers: exactly one of acme, certificates and self_signed"`
		Providers list[provider]     `yaml:"providers" need:"yes" doc:"the OpenID providers that sign people in"`
		Logins    table[name, login] `yaml:"logins" doc:"words that rules use for a strength of sign-in, and what an ID token must prove for each"`
		Roles     table[name, role]  `yaml:"roles" doc:"words that routes and rules use for groups of people"`
		Sessions  sessionLimits      `yaml:"sessions" doc:"how long a sign-in lasts; a route may tighten these, never widen them"`
		Posture   postureKeys        `yaml:"posture" doc:"what is asked of devices, and who may speak about them"`
		Routes    list[route]        `yaml:"routes" need:"yes" doc:"the protected places"`
		Audit     auditKeys          `yaml:"audit" doc:"the audit trail"`
		Limits    limitKeys          `yaml:"limits" doc:"how much clients may take; reaching one is answered and counted, and nothing else waits for it"`
		Telemetry telemetryKeys      `yaml:"telemetry" doc:"traces; the standard OTEL_* environment variables work too"`
		Emergency unbuilt            `yaml:"emergency" doc:"emergency access" unbuilt:"remove this key"`
	}

	gateway struct {
		place
		URL            address      `yaml:"url" need:"yes" doc:"the sign-in host, with the port that browsers use; the redirect URI at the provider is this and /.anteroom/callback"`
		Listen         listenAddr   `yaml:"listen" default:"':443'" doc:"where HTTPS is served"`
		RedirectListen listenAddr   `yaml:"redirect_listen" default:"':80'" doc:"plain HTTP, for the redirect to https; an empty text closes it"`
		AdminListen    listenAddr   `yaml:"admin_listen" default:"'127.0.0.1:9180'" doc:"/healthz, /readyz and /metrics; anything but a loopback address is warned about"`
		DataDir        text         `yaml:"data_dir" default:"/var/lib/anteroom" doc:"keys, store and audit trail; relative to the configuration file; one gateway at a time holds it"`
		TrustedProxies list[prefix] `yaml:"trusted_proxies" doc:"networks whose X-Forwarded-For and traceparent are believed; none unless said"`
		TimeZone       text         `yaml:"time_zone" default:"UTC" doc:"for the times that people read, such as Europe/Oslo; records stay in UTC"`
		Help           text         `yaml:"help" doc:"whom to ask, shown on pages that say no"`
	}

	tlsKeys struct {
		place
		ACME         *acme             `yaml:"acme" doc:"certificates from an ACME authority, for the host of gateway.url and of every route"`
		Certificates list[certificate] `yaml:"certificates" doc:"certificates in files, reloaded when they change"`
		SelfSigned   flag              `yaml:"self_signed" doc:"an authority of its own under data_dir, for the demo and labs; sends no HSTS"`
		MinVersion   word[tlsVersions] `yaml:"min_version" default:"'1.2'" doc:"the oldest TLS version that is spoken"`
	}

	acme struct {
		place
		Email     text    `yaml:"email" need:"yes" doc:"whom the authority may write to; giving it agrees to the authority's terms"`
		Directory address `yaml:"directory" default:"'https://acme-v02.api.letsencrypt.org/directory'" doc:"the authority's directory; Let's Encrypt unless said"`
		RootCA    text    `yaml:"root_ca" doc:"PEM file with the authorities that certify the directory's own server, for one inside the hospital; those of the system unless said"`
	}

	certificate struct {
		place
		Cert text `yaml:"cert" need:"yes" doc:"PEM file with the certificate and those between it and the root"`
		Key  text `yaml:"key" need:"yes" doc:"PEM file with its private key"`
	}

	sessionLimits struct {
		place
		LockAfter span `yaml:"lock_after" default:"5m" min:"1s" max:"24h" doc:"idle time until a session is locked; the same person unlocks it"`
		EndAfter  span `yaml:"end_after" default:"30m" min:"1s" max:"24h" doc:"idle time until a session ends; longer than lock_after"`
		Max       span `yaml:"max" default:"13h" min:"1s" max:"24h" doc:"age at which a session ends whatever its person does; longer than end_after"`
	}

	telemetryKeys struct {
		place
		OTLP   collector `yaml:"otlp" doc:"an OpenTelemetry collector: http(s):// for OTLP over HTTP, grpc:// or grpcs:// for OTLP over gRPC; none unless said"`
		Sample fraction  `yaml:"sample" default:"0.05" doc:"the share of requests that is traced, 0 to 1; refusals and step-ups always are"`
	}

	postureKeys struct {
		place
		Sources  list[source]            `yaml:"sources" doc:"who may speak about a device, and in which words"`
		Checks   table[checkName, check] `yaml:"checks" doc:"what a device must be, each under a name that pages and records use"`
		Profiles table[name, profile]    `yaml:"profiles" doc:"named lists of checks, for routes; none is reserved and means any device or no device"`
	}

	source struct {
		place
		Name            name                               `yaml:"name" need:"yes" doc:"what records call it"`
		Type            word[sourceTypes]                  `yaml:"type" default:"headers" doc:"headers: the sender states what it knows in request headers"`
		Senders         list[sender]                       `yaml:"senders" need:"yes" doc:"who is believed; the headers of anybody else are ignored"`
		Listen          listenAddr                         `yaml:"listen" doc:"a TLS listener of its own, for senders with mtls: browsers are never asked for a certificate"`
		AssertionMaxAge span                               `yaml:"assertion_max_age" default:"15m" min:"1s" max:"24h" doc:"how long a statement is good for, from when the sender made it"`
		Map             table[word[postureFields], header] `yaml:"map" need:"yes" doc:"field and header; device_id is one of the fields"`
		OnOutage        unbuilt                            `yaml:"on_outage" doc:"what holds while the source is silent" unbuilt:"a profile says it"`
	}

	sender struct {
		place
		CIDR          list[prefix] `yaml:"cidr" doc:"networks, one of which the TCP peer is in; never X-Forwarded-For"`
		AllowCIDROnly flag         `yaml:"allow_cidr_only" doc:"true: an address alone is proof enough (assurance A1)"`
		MTLS          *mtls        `yaml:"mtls" doc:"the client certificate of the sender, which it shows on the listener of its source (assurance A2); with cidr, both must hold"`
	}

	mtls struct {
		place
		CAFile text     `yaml:"ca_file" need:"yes" doc:"PEM file with the authorities that certify the sender, and no other authority; read again when it changes"`
		SANDNS hostName `yaml:"san_dns" need:"yes" doc:"the DNS name in the certificate of the sender"`
	}

	check struct {
		place
		Require       table[word[facts], flag]         `yaml:"require" doc:"fact and value; a fact that is not known fails"`
		Deny          table[word[facts], flag]         `yaml:"deny" doc:"fact and value; only a fact known to be so fails"`
		Platforms     table[word[platforms], platform] `yaml:"platforms" doc:"what is asked of each platform; one that is not listed fails"`
		CheckinMaxAge span                             `yaml:"checkin_max_age" min:"1m" max:"365d" doc:"oldest report of the device to its management; below 8h is warned about"`
		Severity      word[severities]                 `yaml:"severity" default:"hard" doc:"hard: failing it also ends the sessions and streams of the device; soft: it only refuses"`
		WarnFor       span                             `yaml:"warn_for" min:"1m" max:"90d" doc:"of a soft check: how long a device may fail it, from the first time that it was seen to; its person is told until when"`
	}

	platform struct {
		place
		Min         list[version] `yaml:"min" doc:"the oldest acceptable version of each branch, one for each major version"`
		OSMinMajor  count         `yaml:"os_min_major" min:"1" max:"1000" doc:"the smallest acceptable major version"`
		PatchMin    date          `yaml:"patch_min" doc:"the oldest acceptable security patch level"`
		PatchMaxAge span          `yaml:"patch_max_age" min:"1d" max:"10y" doc:"the greatest acceptable age of the security patch level"`
	}

	profile struct {
		place
		Checks       list[text]       `yaml:"checks" need:"yes" doc:"names of checks, every one of which must be met"`
		OnOutage     outage           `yaml:"on_outage" default:"deny" doc:"while the source of a device is silent: deny, or last_known(30m): what it last said holds for so long past its end, at most 30m"`
		MinAssurance word[assurances] `yaml:"min_assurance" doc:"how well good news must be proven: A1 an address, A2 a certificate; bad news always counts"`
	}
)
