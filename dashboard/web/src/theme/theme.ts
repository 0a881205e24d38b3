import {
  ActionIcon,
  Avatar,
  Badge,
  Button,
  createTheme,
  Drawer,
  type MantineColorsTuple,
  Menu,
  Modal,
  Notification,
  SegmentedControl,
  Tooltip,
} from '@mantine/core';

const iris: MantineColorsTuple = [
  '#f1f1fe',
  '#e3e3fc',
  '#c7c6f8',
  '#a9a7f3',
  '#8f8bee',
  '#7a75e8',
  '#5b55dd',
  '#4c46c8',
  '#403ba8',
  '#35318a',
];
const gray: MantineColorsTuple = [
  '#f8f9fa',
  '#f1f3f5',
  '#e6e8ec',
  '#dadde2',
  '#c3c8d0',
  '#99a0ab',
  '#6f7682',
  '#565c68',
  '#363b45',
  '#16191f',
];
const dark: MantineColorsTuple = [
  '#eceef2',
  '#c8ccd4',
  '#a0a6b2',
  '#6f7683',
  '#343944',
  '#272b34',
  '#1c1f26',
  '#111317',
  '#0d0f12',
  '#08090b',
];

export const theme = createTheme({
  colors: { iris, gray, dark },
  primaryColor: 'iris',
  primaryShade: { light: 6, dark: 6 },
  black: '#16191f',
  defaultRadius: 'md',
  fontFamily: "'Inter Variable', system-ui, -apple-system, 'Segoe UI', sans-serif",
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.25rem' },
  cursorType: 'pointer',
  components: {
    Button: Button.extend({ defaultProps: { size: 'sm' } }),
    Avatar: Avatar.extend({
      styles: { placeholder: { color: 'var(--hl-accent)', background: 'var(--hl-accent-soft)' } },
    }),
    ActionIcon: ActionIcon.extend({ defaultProps: { variant: 'subtle', color: 'gray', size: 'lg' } }),
    Badge: Badge.extend({ defaultProps: { variant: 'light', radius: 'sm' } }),
    Menu: Menu.extend({ defaultProps: { shadow: 'md', position: 'bottom-end', offset: 6 } }),
    Modal: Modal.extend({
      defaultProps: { closeButtonProps: { 'aria-label': 'Close' } },
      styles: {
        header: { background: 'var(--hl-surface)' },
        content: { background: 'var(--hl-surface)' },
        title: { fontSize: '1rem', fontWeight: 600 },
      },
    }),
    Drawer: Drawer.extend({
      defaultProps: { closeButtonProps: { 'aria-label': 'Close' } },
      styles: {
        header: { background: 'var(--hl-surface)' },
        content: { background: 'var(--hl-surface)' },
        title: { fontSize: '1rem', fontWeight: 600 },
      },
    }),
    Notification: Notification.extend({ defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } }),
    SegmentedControl: SegmentedControl.extend({
      defaultProps: { withItemsBorders: false },
      styles: { root: { background: 'var(--hl-sunken)' } },
    }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 300, withArrow: true, fz: 'xs' } }),
  },
});
