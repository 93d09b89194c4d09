// Validates FHIR R4 resources, an array on the standard input, by HL7's
// structure definitions; writes what each is told, an array of arrays.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { Fhir } = createRequire(import.meta.url)('fhir');
const fhir = new Fhir();
const told = JSON.parse(readFileSync(0, 'utf8')).map((resource) =>
  fhir.validate(resource, { errorOnUnexpected: true }).messages
    .filter((m) => m.severity === 'error' || m.severity === 'fatal')
    .map((m) => `${m.location}: ${m.message}`));
process.stdout.write(JSON.stringify(told));
