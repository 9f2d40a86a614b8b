// Before anything is painted: light or dark, as src/theme.ts decides it. A file of its own, since the
// content security policy lets no script stand in the page.
(function () {
  var chosen = null
  try {
    chosen = localStorage.getItem('tunesmith-theme')
  } catch (error) {
    // Storage is switched off: the system decides.
  }
  var dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
  document.documentElement.style.colorScheme = dark ? 'dark' : 'light'
})()
