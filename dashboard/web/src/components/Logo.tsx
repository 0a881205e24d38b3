import classes from './Logo.module.css';

/** The mark: a voice, as four bars. */
export function Logo() {
  return (
    <svg className={classes.mark} viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <g fill="#fff">
        <rect x="6.5" y="13" width="3" height="6" rx="1.5" />
        <rect x="11.75" y="8" width="3" height="16" rx="1.5" />
        <rect x="17" y="11" width="3" height="10" rx="1.5" />
        <rect x="22.25" y="13.5" width="3" height="5" rx="1.5" />
      </g>
    </svg>
  );
}
