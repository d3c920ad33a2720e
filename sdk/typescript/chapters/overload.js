// Overload: the server refuses with 503 what it cannot do in time, and the SDK, told to, tries again until it is done.
// @ts-check
import { including } from '../shape.js';

/** The crowd grows until somebody is refused: how many are needed depends on the server's settings. */
const CROWDS = [24, 96, 384];

/** @param {import('../traveller.js').Traveller} t */
export async function overload(t) {
  const email = t.email('olga');
  await t.answer(t.admin.customers().post({ body: { email, password: 'secret' } }), including({}), 201);
  const patient = t.client([t.scope('manage_customers')], { retry: true });
  const signIn = () => patient.login().post({ body: { email, password: 'secret' } });
  // The token first: a crowd that fetches one each is not what is meant.
  await t.answer(signIn(), including({}));

  let retries = 0;
  for (const people of CROWDS) {
    const answers = await Promise.all(Array.from({ length: people }, () => signIn().execute()));
    t.expect(
      answers.map(() => 200),
      answers.map(({ statusCode }) => statusCode),
      'statuses after all tries',
    );
    retries = answers.reduce((sum, /** @type {any} */ { retryCount = 0 }) => sum + retryCount, 0);
    if (retries > 0) return;
  }
  t.expect('at least one answered 503', retries, `tries repeated for a crowd of ${CROWDS.at(-1)}`);
}
