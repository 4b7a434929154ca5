// Puts the page together: styles, the looks at the node, the first view.
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/controls.css";
import "./styles/make.css";
import "./styles/clip.css";
import "./styles/gallery.css";
import "./styles/node.css";
import { render } from "preact";
import { beginKeeping } from "./state/keeping";
import { beginLooking } from "./state/node";
import { App } from "./view/app";

beginLooking();
void beginKeeping();
render(<App />, document.getElementById("page")!);
