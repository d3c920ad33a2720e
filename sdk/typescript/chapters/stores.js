// Stores: create, look at, query.
// @ts-check
import {
  by,
  duplicateField,
  insufficientScope,
  notFoundById,
  notFoundByKey,
  page,
  problem,
  store,
} from '../contract.js';
import { including, text } from '../shape.js';

/** @param {import('../traveller.js').Traveller} t */
export async function stores(t) {
  const key = t.key('shop');
  const made = store({
    version: 1,
    key,
    name: { en: 'A shop', de: 'Ein Laden' },
    createdBy: by(),
    lastModifiedBy: by(),
  });
  const body = { key, name: { en: 'A shop', de: 'Ein Laden' } };
  const shop = await t.answer(t.admin.stores().post({ body }), made, 201);
  const { id } = shop;
  await t.answer(t.admin.stores().withId({ ID: id }).get(), shop);
  await t.answer(t.admin.stores().withKey({ key }).get(), shop);
  await t.found200(t.admin.stores().withId({ ID: id }).head());
  await t.found404(t.admin.stores().withKey({ key: 'nowhere' }).head());
  await t.answer(t.admin.stores().get({ queryArgs: { where: `key="${key}"` } }), page([shop]));
  await t.found200(t.admin.stores().head({ queryArgs: { where: `id="${id}"` } }));
  await t.found404(t.admin.stores().head({ queryArgs: { where: 'key="nowhere"' } }));
  await t.answer(t.admin.stores().post({ body: { key: t.key('plain') } }), store({ key: t.key('plain') }), 201);

  await t.refusal(t.admin.stores().post({ body }), duplicateField('key', key));
  await t.refusal(
    t.admin.stores().post({ body: { key: 'no spaces' } }),
    problem(400, 'InvalidField', text, { field: 'key', invalidValue: 'no spaces' }),
  );
  await t.refusal(t.admin.stores().withId({ ID: '00000000' }).get(), notFoundById('00000000'));
  await t.refusal(t.admin.stores().withKey({ key: 'nowhere' }).get(), notFoundByKey('nowhere'));

  // view is enough to look, and not enough to make.
  const viewer = t.client([t.scope('view_stores')]);
  await t.answer(viewer.stores().withKey({ key }).get(), including({ id }));
  await t.refusal(viewer.stores().post({ body: { key: t.key('another') } }), insufficientScope('manage_stores'));
}
