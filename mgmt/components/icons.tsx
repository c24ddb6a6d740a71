const PATHS = {
  alert: "M12 4 2.5 20h19zM12 10v4.5M12 17.2v.1",
  bundle: "M3.5 7.5 12 3l8.5 4.5v9L12 21l-8.5-4.5zM3.5 7.5 12 12l8.5-4.5M12 12v9M7.7 5.3l8.5 4.5",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "m6 6 12 12M18 6 6 18",
  dark: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  disk:
    "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3v12c0 1.7-3.6 3-8 3s-8-1.3-8-3zM4 6c0 1.7 3.6 3 8 3s8-1.3 8-3M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  edit: "M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4",
  expand: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  fork: "M6 3v18M6 15c0-4 3-5 6-5.5s6-1.5 6-5.5M4 3h4M16 4h4",
  guests: "M3.5 4.5h17v6h-17zM3.5 13.5h17v6h-17zM7 7.5h.1M7 16.5h.1M11 7.5h6M11 16.5h6",
  help: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2v.4M12 17.5v.1",
  here: "M12 21c-4-4.6-6.5-8-6.5-11.2a6.5 6.5 0 0 1 13 0C18.5 13 16 16.4 12 21zM12 7.5v5M9.5 10h5",
  hosts: "M3 5h8v6H3zM13 13h8v6h-8zM15 5h4v4M9 19H5v-4",
  images: "M12 3 3 7.5l9 4.5 9-4.5zM3 12l9 4.5 9-4.5M3 16.5 12 21l9-4.5",
  leave: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  light:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.7 1.7M17.3 17.3 19 19M19 5l-1.7 1.7M6.7 17.3 5 19",
  log: "M5 3.5h10l4 4v13H5zM8 9h5M8 12.5h8M8 16h8",
  move: "M3.5 5h7v14h-7zM13.5 12h7M17 8.5l3.5 3.5-3.5 3.5",
  net: "M4 4.5h6.5V10H4zM13.5 14H20v5.5h-6.5zM7.2 10v4.2a2.5 2.5 0 0 0 2.5 2.5h3.8",
  pause: "M8 5.5v13M16 5.5v13",
  plug: "M9 3v5M15 3v5M6.5 8h11v3a5.5 5.5 0 0 1-11 0zM12 16.5V21",
  plus: "M12 5v14M5 12h14",
  power: "M12 3v8M6.3 7a8 8 0 1 0 11.4 0",
  reset: "M19.5 12a7.5 7.5 0 1 1-2.5-5.6M19.5 3.5v4.5H15",
  revert: "M4.5 12a7.5 7.5 0 1 0 2.5-5.6M4.5 3.5v4.5H9",
  snapshot: "M3.5 7.5h4l1.5-2.5h6l1.5 2.5h4v11.5h-17zM12 10a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  start: "M8 5.5v13l10.5-6.5z",
  stop: "M6.5 6.5h11v11h-11z",
  unplug:
    "M9 3v5M15 3v5M6.5 8h11v3a5.5 5.5 0 0 1-.9 3M6.5 8v3a5.5 5.5 0 0 0 7.8 5M12 16.5V21M3.5 3.5l17 17",
  tasks:
    "M4 6l1.5 1.5L8 5M4 12l1.5 1.5L8 11M4 18l1.5 1.5L8 17M11.5 6.5H20M11.5 12.5H20M11.5 18.5H20",
  terminal: "M3.5 5h17v14h-17zM7 9.5l3 2.5-3 2.5M12 15h4.5",
  trash: "M4.5 7h15M9.5 7V4h5v3M6.5 7l1 13h9l1-13M10 11v5M14 11v5",
  upgrade: "M12 20V9M7 13.5 12 8.5l5 5M5 4.5h14",
  upload: "M12 16V4M7 8.5 12 3.5l5 5M4 15.5V20h16v-4.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
