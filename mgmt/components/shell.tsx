import type { ComponentChildren } from "preact";
import Controls from "../islands/controls.tsx";
import Toasts from "../islands/toasts.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { LogoMark } from "./logo.tsx";

interface ShellProps {
  path: string;
  children: ComponentChildren;
}

const LINKS: { href: string; label: string; icon: IconName; under: RegExp }[] = [
  { href: "/", label: "Guests", icon: "guests", under: /^\/($|guests)/ },
  { href: "/images", label: "Images", icon: "images", under: /^\/images/ },
  { href: "/hosts", label: "Hosts", icon: "hosts", under: /^\/hosts/ },
  { href: "/storage", label: "Storage", icon: "disk", under: /^\/storage/ },
  { href: "/settings/network", label: "Network", icon: "net", under: /^\/settings/ },
  { href: "/update", label: "Update", icon: "upgrade", under: /^\/update/ },
  { href: "/log", label: "Log", icon: "log", under: /^\/log/ },
];

/** Navigation around a page. */
export function Shell({ path, children }: ShellProps) {
  return (
    <div class="shell">
      <a class="skip" href="#main">Skip to the content</a>
      <header class="side">
        <a class="brand" href="/">
          <LogoMark />
          <span>Denovisor</span>
        </a>
        <nav class="nav" aria-label="Main">
          {LINKS.map(({ href, label, icon, under }) => (
            <a
              key={href}
              href={href}
              aria-current={path === href ? "page" : under.test(path) ? "true" : undefined}
            >
              <Icon name={icon} />
              <span>{label}</span>
            </a>
          ))}
        </nav>
        <Controls />
      </header>
      <main class="main" id="main" tabIndex={-1}>{children}</main>
      <Toasts />
    </div>
  );
}
