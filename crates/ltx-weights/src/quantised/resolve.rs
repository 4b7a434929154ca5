//! One layer at a time: from its weight's type, its scales and what is stated to how it is packed.
//!
//! Must not know how scales are laid together with values.

use super::{Beside, Order, ScaleType, refused, remarks::Remarks, settle, spread::Spread, statement::Statement};
use crate::{
    Result, WeightsError,
    weight_file::{Entry, Header, StoredType},
};
use ltx_nn::{Element, GroupScale, Groups, Packing};
use std::path::Path;

/// How published files name the scale of `….weight`: behind the key, or in place of its last word.
const SCALES: [&str; 3] = ["weight_scale", "scale_weight", "weight_scale_inv"];
/// The scale of all scales.
const SECOND: &str = "weight_scale_2";
/// What multiplies inputs.
const SMOOTHING: &str = "pre_quant_scale";

/// What may share a scale, and how values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// 8-bit values, with one or more scales.
    Bytes(Element),
    /// 8-bit floats with a power of two for every 32.
    Mxfp8,
    /// Pairs of 4-bit floats with an e4m3 scale for every 16.
    Nvfp4,
}

/// A layer that may be quantised.
pub(super) struct Layer {
    /// What stands in front of `weight`.
    stem: String,
    weight: Entry,
    /// The key of its scale.
    scale: Option<String>,
    stated: Option<Statement>,
}

/// What became of a layer.
pub(super) enum Found {
    Done,
    /// Its scales may be in tiles or not: other layers of the file say which.
    Micro(Box<Micro>),
}

/// A layer with a scale for a few values.
pub(super) struct Micro {
    layer: Layer,
    kind: Kind,
    scale: String,
    plain: Option<Order>,
    tiles: Option<Order>,
}

/// What layers are resolved with.
pub(super) struct Resolver<'a> {
    pub(super) path: &'a Path,
    pub(super) map: &'a [u8],
    /// Whether fp8 weights of the file have scales.
    pub(super) scaled: bool,
    /// An fp8 matrix that has none.
    pub(super) without: Option<String>,
    /// What is said of scales that were taken as their shape says alone.
    pub(super) remarks: Remarks,
}

impl Layer {
    /// The layer of a weight, if anything about it speaks of a quantised one.
    pub(super) fn of(header: &Header, stem: String, stated: Option<Statement>) -> Option<Self> {
        let weight = header.entries.get(&format!("{stem}weight"))?.clone();
        let scale = SCALES.iter().map(|name| format!("{stem}{name}")).find(|name| header.entries.contains_key(name));
        let narrow = match weight.stored {
            StoredType::Packed(_) => true,
            StoredType::Other("U8" | "I8") => weight.shape.len() == 2 || scale.is_some(),
            // Integers of other widths, with several values in each.
            StoredType::Other(_) => scale.is_some(),
            StoredType::Float(_) => false,
        };
        (narrow || stated.is_some()).then_some(Self { stem, weight, scale, stated })
    }

    fn key(&self) -> String {
        format!("{}weight", self.stem)
    }

    fn format(&self) -> Option<&str> {
        self.stated.as_ref().map(|stated| stated.format.as_str())
    }

    /// The side of a block that is stated.
    fn block(&self) -> Option<usize> {
        self.stated.as_ref().and_then(|stated| stated.block)
    }
}

impl Resolver<'_> {
    /// Decides on a layer.
    ///
    /// # Errors
    /// Its format is not read, or its tensors are not what the format asks for.
    pub(super) fn resolve(&mut self, header: &mut Header, layer: Layer) -> Result<Found> {
        let kind = self.kind(header, &layer)?;
        let rotation = layer.stated.as_ref().and_then(|stated| stated.rotation);
        if rotation.is_some() && kind != Kind::Bytes(Element::Int8) {
            return Err(refused::format(self.path, &layer.key(), &format!("{} with convrot", kind.name())));
        }
        let Some(scale) = layer.scale.clone() else {
            return match kind {
                Kind::Bytes(Element::E4m3 | Element::E5m2) if layer.stated.is_none() => {
                    if layer.weight.shape.len() == 2 && self.without.is_none() {
                        self.without = Some(layer.key());
                    }
                    let stored = layer.weight.stored;
                    settle(header, &layer.stem, stored, None, &[]);
                    Ok(Found::Done)
                }
                _ => Err(self.missing(&layer, "weight_scale")),
            };
        };
        match kind {
            Kind::Bytes(element) => self.bytes(header, &layer, element, scale).map(|()| Found::Done),
            Kind::Mxfp8 => self.micro(header, layer, kind, scale, 32),
            Kind::Nvfp4 => self.micro(header, layer, kind, scale, 16),
        }
    }

    /// What a layer is, by what is stated, or by the types of its tensors.
    fn kind(&self, header: &Header, layer: &Layer) -> Result<Kind> {
        let scale_type = layer.scale.as_ref().and_then(|key| header.entries.get(key)).map(|entry| entry.stored);
        let byte_scales = matches!(scale_type, Some(StoredType::Other("U8" | "F8_E8M0")));
        let stored = layer.weight.stored;
        let has_second = header.entries.contains_key(&format!("{}{SECOND}", layer.stem));
        let found = match stored {
            StoredType::Packed(Packing::Fp8 { .. }) if byte_scales => Some(Kind::Mxfp8),
            StoredType::Packed(Packing::Fp8 { .. }) => Some(Kind::Bytes(Element::E4m3)),
            StoredType::Packed(Packing::Groups(groups)) => Some(Kind::Bytes(groups.element)),
            StoredType::Other("I8") => Some(Kind::Bytes(Element::Int8)),
            StoredType::Other("U8") if has_second || layer.format() == Some("nvfp4") => Some(Kind::Nvfp4),
            _ => None,
        };
        let Some(format) = layer.format() else {
            return found.ok_or_else(|| {
                let format = format!("{} whose scales and statement are of no format that is known", stored.name());
                refused::format(self.path, &layer.key(), &format)
            });
        };
        let expected = match format {
            "float8_e4m3fn"
            | "float8_e4m3fn_tensorwise"
            | "float8_e4m3fn_rowwise"
            | "float8_e4m3fn_blockwise"
            | "float8_e4m3fn_block3d" => Kind::Bytes(Element::E4m3),
            "float8_e5m2" => Kind::Bytes(Element::E5m2),
            "int8_tensorwise" | "int8_rowwise" | "int8_blockwise" => Kind::Bytes(Element::Int8),
            "mxfp8" => Kind::Mxfp8,
            "nvfp4" => Kind::Nvfp4,
            other => return Err(refused::format(self.path, &layer.key(), other)),
        };
        let lacks_scales =
            expected == Kind::Mxfp8 && layer.scale.is_none() && found == Some(Kind::Bytes(Element::E4m3));
        if found == Some(expected) || lacks_scales {
            return Ok(expected);
        }
        let found = found.map_or_else(|| stored.name(), Kind::stored).to_owned();
        Err(self.wrong(&layer.key(), found, format!("{}, as {format} is stated", expected.stored())))
    }

    /// 8-bit values whose scales are floats: one for all, one a row, or one a block.
    fn bytes(&mut self, header: &mut Header, layer: &Layer, element: Element, key: String) -> Result<()> {
        self.scaled |= element != Element::Int8;
        let Some(entry) = header.entries.get(&key) else { return Ok(()) };
        let rotation = layer.stated.as_ref().and_then(|stated| stated.rotation);
        let shape = &layer.weight.shape;
        if let Some(stated) = layer.stated.as_ref().and_then(|stated| stated.shape.as_ref())
            && stated != shape
        {
            return Err(self.wrong(&layer.key(), format!("{shape:?}"), format!("orig_shape {stated:?}, as is stated")));
        }
        let single = entry.values() == 1;
        if single && rotation.is_none() {
            self.check_block(layer, 1)?;
            if let [rows, row] = shape[..] {
                let one = Order::Grid { height: rows.max(1), width: row, columns: 1 };
                self.check_spread(layer, (&key, entry), one)?;
            }
            let scale = self.number(&key, entry)?;
            let packing = match element {
                Element::E4m3 => Packing::Fp8 { scale },
                other => Packing::Groups(Groups::of_one(other, scale)),
            };
            settle(header, &layer.stem, StoredType::Packed(packing), None, &[key]);
            return Ok(());
        }
        let Some(kind) = ScaleType::float(entry.stored) else {
            return Err(self.bad_scale(&key, entry, "finite numbers in F32, BF16 or F16"));
        };
        let weight = &layer.weight;
        let order = match weight.shape[..] {
            [rows, row] if rows > 0 && row > 0 => Order::grid(&entry.shape, [rows, row], layer.block()),
            _ => None,
        };
        let Some(order) = order else {
            let expected = format!("one number, or one for each row or block of {:?}", weight.shape);
            return Err(self.bad_scale(&key, entry, &expected));
        };
        if let Order::Grid { columns, .. } = order {
            self.check_block(layer, columns)?;
        }
        self.check_spread(layer, (&key, entry), order)?;
        if let Some(stated) = &layer.stated
            && !single
            && Spread::named(&stated.format).is_none()
            && (stated.per_row, stated.block) == (None, None)
        {
            self.remarks.by_shape(&stated.format, (&key, &entry.shape));
        }
        let row = weight.shape.last().copied().unwrap_or(1);
        let whole = matches!(order, Order::Grid { width, .. } if width == row);
        let rotation = match rotation {
            None => 1,
            Some(size @ (4 | 16 | 64 | 256)) if whole && row.is_multiple_of(size) => size as u16,
            Some(size) => {
                let found = format!("rotated in groups of {size}, rows of {row}, scales of shape {:?}", entry.shape);
                let expected = "groups of 4, 16, 64 or 256 that divide a row, and a scale a row or one".to_owned();
                return Err(self.wrong(&layer.key(), found, expected));
            }
        };
        // Of a row with one scale a group holds whole rotations: both are powers of two that divide it.
        let size_of_group = order.group(row);
        let groups = Groups { element, size: size_of_group, scale: GroupScale::F32, factor: 1.0, rotation };
        let beside = Box::new(Beside { key: key.clone(), range: entry.range.clone(), kind, order, upper_first: false });
        settle(header, &layer.stem, StoredType::Packed(Packing::Groups(groups)), Some(beside), &[key]);
        Ok(())
    }

    /// Refuses a stated block of which rows would have another number of scales than the `columns` that they have.
    fn check_block(&self, layer: &Layer, columns: usize) -> Result<()> {
        let row = layer.weight.shape.last().copied().unwrap_or(1);
        match layer.block() {
            Some(block) if row.div_ceil(block) != columns => {
                let found = format!("rows of {row} values with {columns} scales");
                Err(self.wrong(&layer.key(), found, format!("a scale for every {block}, as group_size states")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses scales that are shared otherwise than `per_row` or the format's name states; of one row several are the same.
    fn check_spread(&self, layer: &Layer, (key, entry): (&str, &Entry), order: Order) -> Result<()> {
        let Some(stated) = &layer.stated else { return Ok(()) };
        let [rows, row] = layer.weight.shape[..] else { return Ok(()) };
        let fits = |spread: Spread| spread.fits(order, [rows, row], stated.block);
        let by_row = fits(Spread::Row);
        let what = if by_row { "a scale for every row" } else { "scales that are not one for every row" };
        let wrong = |expected: String| {
            let found = format!("{what}, {key} of shape {:?}", entry.shape);
            Err(self.wrong(&layer.key(), found, expected))
        };
        if let Some(per_row) = stated.per_row.filter(|per_row| *per_row != by_row && rows != 1) {
            let expected = if per_row { Spread::Row.said() } else { "no such" };
            return wrong(format!("{expected}, as per_row {per_row} states"));
        }
        match Spread::named(&stated.format).filter(|spread| !fits(*spread)) {
            Some(spread) => wrong(format!("{}, as {} states", spread.said(), stated.format)),
            None => Ok(()),
        }
    }

    /// A scale for every few values of a row: both orders that its shape allows.
    fn micro(&self, header: &Header, layer: Layer, kind: Kind, scale: String, width: usize) -> Result<Found> {
        let smoothing = format!("{}{SMOOTHING}", layer.stem);
        if header.entries.contains_key(&smoothing) {
            return Err(refused::format(
                self.path,
                &smoothing,
                &format!("{} with inputs that are scaled (AWQ)", kind.name()),
            ));
        }
        let Some(entry) = header.entries.get(&scale) else { return Ok(Found::Done) };
        let types: &[&str] = if kind == Kind::Nvfp4 { &["F8_E4M3", "U8"] } else { &["U8", "F8_E8M0"] };
        if !types.contains(&entry.stored.name()) {
            return Err(self.bad_scale(&scale, entry, &format!("bytes ({}) of {}", types.join(", "), kind.name())));
        }
        let [rows, row] = self.stored_shape(&layer, kind)?;
        if rows == 0 || row == 0 || row % width != 0 {
            let expected = format!("a matrix with rows of a multiple of {width} values, for {}", kind.name());
            return Err(self.wrong(&layer.key(), format!("{:?}", layer.weight.shape), expected));
        }
        if let Some(block) = layer.block().filter(|block| *block != width) {
            let expected = format!("{width}, which is that of {}", kind.name());
            return Err(self.wrong(&layer.key(), format!("group_size {block}"), expected));
        }
        if layer.stated.as_ref().and_then(|stated| stated.per_row) == Some(true) {
            let expected = format!("none, as {} has a scale for every {width} values", kind.name());
            return Err(self.wrong(&layer.key(), "per_row true".to_owned(), expected));
        }
        let plain = Order::plain(&entry.shape, [rows, row], width);
        let tiles = Order::tiles(&entry.shape, [rows, row], width);
        if plain.is_none() && tiles.is_none() {
            let [down, across] = [rows.next_multiple_of(128), (row / width).next_multiple_of(4)];
            let expected = format!("[{rows}, {}], or in tiles [{down}, {across}]", row / width);
            return Err(self.bad_scale(&scale, entry, &expected));
        }
        Ok(Found::Micro(Box::new(Micro { layer, kind, scale, plain, tiles })))
    }

    /// Rows and values of a row, as they are stored.
    fn stored_shape(&self, layer: &Layer, kind: Kind) -> Result<[usize; 2]> {
        match (kind, &layer.weight.shape[..]) {
            (Kind::Nvfp4, [rows, bytes]) => Ok([*rows, bytes.saturating_mul(2)]),
            (_, [rows, row]) => Ok([*rows, *row]),
            (_, shape) => Err(self.wrong(&layer.key(), format!("{shape:?}"), format!("a matrix, for {}", kind.name()))),
        }
    }

    /// Settles layers whose scales may be in tiles. A file has one order: a layer that allows one alone tells it of all; where all
    /// allow both, what ComfyUI states is in tiles, and what nobody states is not.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(super) fn resolve_micro(&mut self, header: &mut Header, layers: Vec<Micro>) -> Result<()> {
        let plain_alone = layers.iter().any(|layer| layer.tiles.is_none());
        let tiles_alone = layers.iter().any(|layer| layer.plain.is_none());
        for micro in layers {
            let stated = micro.layer.stated.is_some();
            let prefer_tiles = tiles_alone || stated && !plain_alone;
            let (first, second) = if prefer_tiles { (micro.tiles, micro.plain) } else { (micro.plain, micro.tiles) };
            let Some(order) = first.or(second) else { continue };
            let tiled = matches!(order, Order::Tiles { .. });
            if micro.kind == Kind::Nvfp4 && stated && !tiled {
                // ComfyUI's order of the two values in a byte is another than that of files with plain scales: none is told here.
                let format = "nvfp4 of ComfyUI with scales that are not in tiles of 128 by 4";
                return Err(refused::format(self.path, &micro.scale, format));
            }
            let shape = header.entries.get(&micro.scale).map_or(&[][..], |entry| &entry.shape);
            if stated && !tiled {
                self.remarks.not_in_tiles(micro.kind.name(), (&micro.scale, shape));
            }
            if !stated && !tiles_alone && !plain_alone {
                self.remarks.in_either_order(micro.kind.name(), (&micro.scale, shape));
            }
            self.settle_micro(header, &micro, order, tiled)?;
        }
        Ok(())
    }

    fn settle_micro(&self, header: &mut Header, micro: &Micro, order: Order, tiled: bool) -> Result<()> {
        let Micro { layer, kind, scale, .. } = micro;
        let mut scales = vec![scale.clone()];
        let mut factor = 1.0;
        if *kind == Kind::Nvfp4 {
            let second = format!("{}{SECOND}", layer.stem);
            let Some(entry) = header.entries.get(&second) else { return Err(self.missing(layer, SECOND)) };
            factor = self.number(&second, entry)?;
            scales.push(second);
        }
        let (element, group_scale, size) = match kind {
            Kind::Nvfp4 => (Element::E2m1, GroupScale::E4m3, 16),
            Kind::Mxfp8 | Kind::Bytes(_) => (Element::E4m3, GroupScale::E8m0, 32),
        };
        let groups = Groups { element, size, scale: group_scale, factor, rotation: 1 };
        let range = header.entries.get(scale).map(|entry| entry.range.clone()).unwrap_or_default();
        let beside = Box::new(Beside { key: scale.clone(), range, kind: ScaleType::Byte, order, upper_first: tiled });
        let shape = self.true_shape(header, layer, *kind)?;
        settle(header, &layer.stem, StoredType::Packed(Packing::Groups(groups)), Some(beside), &scales);
        if let Some(entry) = header.entries.get_mut(&layer.key()) {
            entry.shape = shape.to_vec();
        }
        Ok(())
    }

    /// The matrix's own shape: rows are filled up to 16 or 32 in the file. What is stated says how many there are, or the bias does.
    fn true_shape(&self, header: &Header, layer: &Layer, kind: Kind) -> Result<[usize; 2]> {
        let [rows, row] = self.stored_shape(layer, kind)?;
        let multiple = if kind == Kind::Nvfp4 { 16 } else { 32 };
        let stated = layer.stated.as_ref().and_then(|stated| stated.shape.as_ref());
        let bias = header.entries.get(&format!("{}bias", layer.stem)).map(|bias| bias.shape.clone());
        let found = match (stated.map(Vec::as_slice), bias.as_deref()) {
            (Some(&[outputs, inputs]), _) => [outputs, inputs],
            (Some(shape), _) => {
                let expected = format!("orig_shape {shape:?}, as is stated");
                return Err(self.wrong(&layer.key(), format!("a stored matrix [{rows}, {row}]"), expected));
            }
            (None, Some(&[outputs])) => [outputs, row],
            (None, _) => [rows, row],
        };
        let filled = |outputs: usize| outputs <= rows && outputs.next_multiple_of(multiple) == rows;
        let fits = found[1] == row && found[0] > 0 && (found[0] == rows || filled(found[0]));
        if fits {
            return Ok(found);
        }
        let expected = format!("a matrix {found:?} with its rows filled up to a multiple of {multiple}");
        Err(self.wrong(&layer.key(), format!("a stored matrix [{rows}, {row}]"), expected))
    }

    /// A scale that is one finite number.
    fn number(&self, key: &str, entry: &Entry) -> Result<f32> {
        let bytes = self.map.get(entry.range.clone()).unwrap_or_default();
        let value = ScaleType::float(entry.stored).and_then(|kind| kind.float_of(bytes));
        match value {
            Some(value) if value.is_finite() => Ok(value),
            Some(value) => Err(WeightsError::BadScale {
                file: self.path.to_owned(),
                key: key.to_owned(),
                found: value.to_string(),
                expected: "one finite number in F32, BF16 or F16".to_owned(),
            }),
            None => Err(self.bad_scale(key, entry, "one finite number in F32, BF16 or F16")),
        }
    }

    fn bad_scale(&self, key: &str, entry: &Entry, expected: &str) -> WeightsError {
        let found = format!("{} of shape {:?}", entry.stored.name(), entry.shape);
        let (file, key) = (self.path.to_owned(), key.to_owned());
        WeightsError::BadScale { file, key, found, expected: expected.to_owned() }
    }

    fn missing(&self, layer: &Layer, scale: &'static str) -> WeightsError {
        let (file, key) = (self.path.to_owned(), layer.key());
        WeightsError::MissingScale { file, key, found: layer.weight.stored.name(), scale }
    }

    fn wrong(&self, key: &str, found: String, expected: String) -> WeightsError {
        WeightsError::Quantisation { file: self.path.to_owned(), key: key.to_owned(), found, expected }
    }
}

impl Kind {
    /// The name that publishers use.
    fn name(self) -> &'static str {
        match self {
            Self::Bytes(Element::E4m3) => "float8_e4m3fn",
            Self::Bytes(Element::E5m2) => "float8_e5m2",
            Self::Bytes(_) => "int8",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }

    /// The type of the tensor of values.
    fn stored(self) -> &'static str {
        match self {
            Self::Bytes(Element::E4m3) => "F8_E4M3",
            Self::Bytes(Element::E5m2) => "F8_E5M2",
            Self::Bytes(_) => "I8",
            Self::Mxfp8 => "F8_E4M3 with a weight_scale of bytes",
            Self::Nvfp4 => "U8 with a weight_scale_2",
        }
    }
}
