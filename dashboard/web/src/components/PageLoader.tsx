import { Loader } from '@mantine/core';
import classes from './PageLoader.module.css';

export function PageLoader() {
  return (
    <div className={classes.root} role="status">
      <Loader size="sm" type="dots" />
      <span className="visually-hidden">Loading</span>
    </div>
  );
}
