export interface FreshConfig {
  /** The path under which the app lives, such as "/console"; none by default. */
  basePath?: string;
  mode?: "development" | "production";
  /** Whether X-Forwarded-Proto and X-Forwarded-Host are believed. */
  trustProxy?: boolean;
}

export interface ResolvedFreshConfig {
  root: string;
  basePath: string;
  mode: "development" | "production";
  trustProxy: boolean;
}
