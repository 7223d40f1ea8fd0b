"""The emulated machine around the device: where everything lies, and how it is switched on."""
