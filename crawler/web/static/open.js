// The token stands behind the # of the address, which no browser sends to a server: it goes in a form.

const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", "/open");
  const form = document.getElementById("open");
  form.elements.token.value = token;
  form.submit();
}
