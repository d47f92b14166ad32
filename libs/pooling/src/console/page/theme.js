import { setText } from './dom.js';

/** @typedef {'system' | 'light' | 'dark'} Theme */

/** @type {readonly Theme[]} */
const THEMES = ['system', 'light', 'dark'];
const KEY = 'nestjs-pooling-theme';

/** @returns {Theme} */
function remembered() {
  try {
    const theme = /** @type {Theme} */ (localStorage.getItem(KEY));
    return THEMES.includes(theme) ? theme : 'system';
  } catch {
    return 'system';
  }
}

/** @param {Theme} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Storage may be turned off; the theme then lasts as long as the page.
  }
}

/**
 * Lets a button go through the themes, and tells when colours have changed.
 *
 * @param {HTMLElement} button
 * @param {() => void} onChange
 */
export function startTheme(button, onChange) {
  let theme = remembered();
  const show = () => {
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    setText(button, `Theme: ${theme}`);
  };
  show();
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
    remember(theme);
    show();
    onChange();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', onChange);
}
