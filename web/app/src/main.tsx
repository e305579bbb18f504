import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";
import { loadConfig } from "./config.ts";
import { rememberedTheme } from "./hooks.ts";
import "./styles/index.css";

document.documentElement.dataset.theme = rememberedTheme();
const root = createRoot(document.getElementById("root") as HTMLElement);
void loadConfig().then((config) =>
  root.render(
    <StrictMode>
      <App config={config} />
    </StrictMode>,
  ),
);
