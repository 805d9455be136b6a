/** `<form data-module="link">`: takes what stands behind the `#`, where no server saw it, into its field. */

export default function link(form) {
  const text = location.hash.slice(1);
  if (!/^wwl_[a-z2-7_]+$/.test(text)) return;
  history.replaceState(null, "", location.pathname);
  form.elements.link.value = text;
}
