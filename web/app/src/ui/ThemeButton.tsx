import { THEMES, type Theme, useTheme } from "../hooks.ts";
import { IconButton } from "./controls.tsx";

const NAMES: Record<Theme, string> = {
  system: "Theme: as the device",
  light: "Theme: light",
  dark: "Theme: dark",
};

/** Goes through the themes. */
export function ThemeButton() {
  const [theme, setTheme] = useTheme();
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
  return <IconButton icon="theme" label={NAMES[theme]} onClick={() => setTheme(next)} />;
}
