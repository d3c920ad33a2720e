// The project: what it says of itself, and its messages configuration.
// @ts-check
import { insufficientScope, page, project as projectShape, problem } from '../contract.js';
import { including, text } from '../shape.js';

/** @typedef {import('@commercetools/platform-sdk').ProjectUpdateAction} Action */

/** @param {import('../traveller.js').Traveller} t */
export async function project(t) {
  const it = t.client([t.scope('manage_project_settings')]);
  const { version } = await t.answer(it.get(), projectShape({ key: t.projectKey }));
  await t.found200(it.head());
  /** @param {number} at @param {Action[]} actions */
  const update = (at, ...actions) => it.post({ body: { version: at, actions } });
  /** @param {boolean} enabled @param {number} deleteDaysAfterCreation @returns {Action} */
  const configured = (enabled, deleteDaysAfterCreation) => ({
    action: 'changeMessagesConfiguration',
    messagesConfiguration: { enabled, deleteDaysAfterCreation },
  });

  const thirty = projectShape({ version: version + 1, messages: { enabled: true, deleteDaysAfterCreation: 30 } });
  await t.answer(update(version, configured(true, 30)), thirty);
  try {
    await t.answer(it.get(), thirty);
    await t.refusal(
      update(version, configured(true, 15)),
      problem(409, 'ConcurrentModification', text, { currentVersion: version + 1 }),
    );
    for (const days of [0, 91])
      await t.refusal(update(version + 1, configured(true, days)), {
        ...problem(400, text, text),
        errors: [including({ code: text })],
      });
    const external = /** @type {Action} */ ({
      action: 'setExternalOAuth',
      externalOAuth: { url: 'https://example.com', authorizationHeader: 'secret' },
    });
    await t.refusal(update(version + 1, external), problem(400, 'InvalidOperation', text));
    const viewer = t.client([t.scope('view_project_settings')]);
    await t.answer(viewer.get(), thirty);
    await t.refusal(viewer.post({ body: { version, actions: [] } }), insufficientScope('manage_project_settings'));

    // Switched off, nothing is seen, and what happens meanwhile stays unseen; it still counts.
    // An old spelling that the SDK's types no longer have.
    const switchedOff = /** @type {any} */ ({ action: 'changeMessagesEnabled', messagesEnabled: false });
    const off = { version: version + 2, messages: including({ enabled: false }) };
    await t.answer(update(version + 1, switchedOff), projectShape(off));
    const { customer } = await t.answer(
      t.admin.customers().post({ body: { email: t.email('quiet'), password: 'x' } }),
      including({}),
      201,
    );
    await t.answer(t.admin.messages().get(), page([]));
    await t.found404(t.admin.messages().head());
    await t.answer(
      update(version + 2, configured(true, 15)),
      projectShape({ version: version + 3, messages: { enabled: true, deleteDaysAfterCreation: 15 } }),
    );
    const rename = { version: 1, actions: [/** @type {const} */ ({ action: 'setFirstName', firstName: 'Q' })] };
    await t.answer(t.admin.customers().withId({ ID: customer.id }).post({ body: rename }), including({ version: 2 }));
    await t.answer(
      t.admin.messages().get({ queryArgs: { where: `resource(typeId="customer" and id="${customer.id}")` } }),
      including({ count: 1, results: [including({ type: 'CustomerFirstNameSet', sequenceNumber: 2 })] }),
    );
  } finally {
    // Whatever was found: the server is left as it was, messages on.
    const { body } = await it.get().execute();
    await update(body.version, configured(true, 15)).execute();
  }
}
