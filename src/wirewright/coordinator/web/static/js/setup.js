/** `<form data-module="setup">`: takes the token from behind the `#`, where no server saw it, into its field. */

export default function setup(form) {
  const token = location.hash.slice(1);
  if (!/^wwf_[a-z2-7_]+$/.test(token)) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.elements.name.select();
}
