package config

// The shapes of what stands under `audit`.
type (
	auditKeys struct {
		place
		Retain        span           `yaml:"retain" default:"6y" min:"1d" max:"100y" doc:"how long records are kept; then whole days of them are deleted, unless the trail is on hold or a feed has not sent them"`
		OnFailure     word[failures] `yaml:"on_failure" default:"deny" doc:"deny: what cannot be recorded is not forwarded; alarm: it is forwarded and counted; a route may say its own"`
		PatientSystem text           `yaml:"patient_system" doc:"URI of the system that the numbers of patients are of, such as urn:oid:2.16.578.1.12.4.1.4.1; told in FHIR and DICOM"`
		Feeds         list[feed]     `yaml:"feeds" doc:"other systems that get every record as it is written"`
		Copy          copyKeys       `yaml:"copy" doc:"a second place for signed checkpoints, which shows when the trail was cut or put back"`
	}

	feed struct {
		place
		Name    name              `yaml:"name" need:"yes" doc:"what logs and metrics call it; how far it has come is kept under this name"`
		Type    word[feedTypes]   `yaml:"type" need:"yes" doc:"syslog: RFC 5424 over TLS, as IHE ATNA has it; otlp: log records for an OpenTelemetry collector"`
		Address text              `yaml:"address" doc:"syslog: host and port of the receiver, such as siem.hospital.example:6514"`
		CAFile  text              `yaml:"ca_file" doc:"PEM file with the authorities that may certify it; those of the system unless said"`
		Cert    text              `yaml:"cert" doc:"syslog: PEM file with the certificate that the gateway shows; read anew for each connection"`
		Key     text              `yaml:"key" doc:"syslog: PEM file with its private key"`
		Format  word[feedFormats] `yaml:"format" doc:"syslog: dicom, or ndjson for the lines as they stand; dicom unless said"`
		URL     address           `yaml:"url" doc:"otlp: scheme, host and port of a collector that takes OTLP over HTTP"`
		Whole   flag              `yaml:"whole" doc:"otlp: true sends whole records, with persons, patients and paths; else only what traces may hold"`
		Begin   word[begins]      `yaml:"begin" default:"now" doc:"where a feed that is new begins: now, or oldest for everything that is kept"`
	}

	copyKeys struct {
		place
		Dir text `yaml:"dir" doc:"a directory on another machine or disk; it has to be there, and is never made"`
	}
)
