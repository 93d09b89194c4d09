// The certified OpenID provider, with people of a small hospital and a login
// form that asks for a code when a stronger sign-in is wanted.
//
//   node provider.mjs '{"port": 0, "redirect": "...", "signedOut": "...", "backchannel": "...", "ca": "ca.pem", "secret": "..."}'
//
// prints one line of JSON, {"issuer": "..."}, once it listens on loopback, and
// ends with its standard input, so that it never outlives the test. With "key",
// a public key as a JWK, in place of "secret", its client proves itself by
// private_key_jwt and has to push its requests (RFC 9126). "subjects" is put
// before each name to make a sub of it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import Provider, { interactionPolicy } from 'oidc-provider';

const options = JSON.parse(process.argv[2]);
const people = {
  nora: { name: 'Nora Lind', groups: ['ehr-nurses'] },
  piet: { name: 'Piet Vos', groups: ['ehr-physicians'] },
  bea: { name: 'Bea Ros', groups: ['ehr-billing'] },
  tess: { name: 'Tess Ames', groups: ['ehr-coordinators'] },
  adam: { name: 'Adam Gray', groups: ['gateway-admins'] },
  eve: { name: 'Eve Stone', groups: [] },
};
const PASSWORD = 'demo', CODE = '123456';
const SUBJECTS = options.subjects || '';
const WEAK = 'urn:hospital:password', STRONG = 'urn:hospital:mfa';

// The library takes acr_values for a wish; this hospital's provider grants it.
const { Check, base } = interactionPolicy;
const policy = base();
policy.get('login').checks.add(new Check('acr_wanted', 'a stronger sign-in is wanted', (ctx) => {
  const wanted = (ctx.oidc.params.acr_values || '').split(' ').filter(Boolean);
  const answered = ctx.oidc.result && ctx.oidc.result.login;
  if (wanted.length === 0 || answered || wanted.includes(ctx.oidc.session.acr)) return Check.NO_NEED_TO_PROMPT;
  return Check.REQUEST_PROMPT;
}));

// The library's own fetch refuses to send to loopback, where everything is
// here. The CA is read when it is needed: the gateway makes it at its first start.
const toGateway = (url, { method, headers, body, signal }) => new Promise((resolve, reject) => {
  const sent = request(url, {
    method, signal, headers: Object.fromEntries(headers), ca: readFileSync(options.ca), agent: false,
    lookup: (_name, how, done) => (how.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)),
  }, (answer) => {
    answer.resume();
    answer.on('end', () => resolve(new Response(null, { status: answer.statusCode })));
  });
  sent.on('error', reject);
  sent.end(body && String(body));
});

const server = createServer();
server.listen(options.port || 0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'anteroom',
      ...(options.key
        ? { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [options.key] }, require_pushed_authorization_requests: true }
        : { client_secret: options.secret }),
      redirect_uris: [options.redirect],
      post_logout_redirect_uris: [options.signedOut],
      backchannel_logout_uri: options.backchannel,
      backchannel_logout_session_required: true,
      response_types: ['code'],
      grant_types: ['authorization_code'],
    }],
    acrValues: [WEAK, STRONG],
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time', 'sid'],
      profile: ['name', 'preferred_username'],
      email: ['email'],
      groups: ['groups'],
    },
    scopes: ['openid', 'profile', 'email', 'groups'],
    cookies: { keys: ['only for tests'] },
    interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
    },
    fetch: toGateway,
    async loadExistingGrant(ctx) { // nobody is asked for consent inside a hospital
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile email groups');
      await grant.save();
      return grant;
    },
    async findAccount(ctx, id) {
      const name = id.slice(SUBJECTS.length), who = people[name];
      return who && {
        accountId: id,
        claims: async () => ({ sub: id, name: who.name, preferred_username: name, email: `${name}@hospital.example`, groups: who.groups }),
      };
    },
  });

  const form = (uid, strong, wrong) => `<!doctype html><html lang="en"><title>Sign in</title><h1>St. Brigid: sign in</h1>
${wrong ? '<p id="wrong">That was not right.</p>' : ''}
<form method="post" action="/interaction/${uid}">
<p><label>Name <input id="username" name="username" autofocus></label>
<p><label>Password <input id="password" name="password" type="password"></label>
${strong ? '<p><label>Code <input id="code" name="code"></label>' : ''}
<p><button id="signin" name="do" value="signin">Sign in</button> <button id="cancel" name="do" value="cancel">Cancel</button></form>`;

  const interact = async (req, res) => {
    const details = await provider.interactionDetails(req, res);
    const strong = (details.params.acr_values || '').split(' ').includes(STRONG);
    if (req.method !== 'POST') {
      res.setHeader('content-type', 'text/html; charset=utf-8');
      return res.end(form(details.uid, strong, false));
    }
    let body = '';
    for await (const chunk of req) body += chunk;
    const input = new URLSearchParams(body);
    if (input.get('do') === 'cancel') {
      return provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'cancelled' }, { mergeWithLastSubmission: false });
    }
    const who = input.get('username');
    if (!Object.hasOwn(people, who) || input.get('password') !== PASSWORD || (strong && input.get('code') !== CODE)) {
      res.setHeader('content-type', 'text/html; charset=utf-8');
      return res.end(form(details.uid, strong, true));
    }
    const accountId = SUBJECTS + who;
    const login = strong ? { accountId, acr: STRONG, amr: ['pwd', 'otp'] } : { accountId, acr: WEAK, amr: ['pwd'] };
    return provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false });
  };

  // What goes wrong is for whoever reads the test's log.
  for (const event of ['backchannel.error', 'server_error']) {
    provider.on(event, (_ctx, error) => console.error(event, error));
  }

  const callback = provider.callback();
  server.on('request', (req, res) => {
    if (req.url.startsWith('/interaction/')) {
      interact(req, res).catch((error) => { res.statusCode = 400; res.end(String(error)); });
      return;
    }
    callback(req, res);
  });
  console.log(JSON.stringify({ issuer }));
  process.stdin.resume().on('end', () => process.exit(0));
});
