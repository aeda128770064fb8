/** The keys of a local project: JWTs signed with a secret that PostgREST knows too. */
import { type JWTPayload, SignJWT } from 'jose';

export interface Keys {
  anonKey: string;
  serviceRoleKey: string;
  /** What a signed-in user's browser holds: `sub` says who, `role` is authenticated. */
  userToken(sub: string, claims?: JWTPayload): Promise<string>;
}

export async function createKeys(secret: string): Promise<Keys> {
  if (secret.length < 32) {
    throw new Error(`A JWT secret needs 32 characters or more, this one has ${secret.length}`);
  }
  const key = new TextEncoder().encode(secret);
  const sign = (claims: JWTPayload, lifetime: string) =>
    new SignJWT({ iss: 'pgquota-local', ...claims })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuedAt()
      .setExpirationTime(lifetime)
      .sign(key);
  return {
    anonKey: await sign({ role: 'anon' }, '10y'),
    serviceRoleKey: await sign({ role: 'service_role' }, '10y'),
    userToken: (sub, claims = {}) =>
      sign({ sub, role: 'authenticated', aud: 'authenticated', ...claims }, '12h'),
  };
}
