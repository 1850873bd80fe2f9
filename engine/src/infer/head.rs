//! Raw heads of detectors: the arrangement of boxes and class scores in one output.

/// The arrangement of one row of a raw head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLayout {
    /// `[4 + classes, anchors]`: a box, then class scores.
    AttributesFirst,
    /// `[anchors, 5 + classes]`: a box, the objectness, then class scores. The score is the product of both.
    AnchorsFirst,
}

/// The meaning of a box's four numbers, in pixels of the model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoxFormat {
    /// The centre's x and y, width and height.
    #[default]
    Centre,
    /// x1, y1, x2, y2.
    Corners,
}

impl HeadLayout {
    /// The key's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttributesFirst => "yolov8",
            Self::AnchorsFirst => "yolov5",
        }
    }

    /// The numbers of an anchor before its class scores.
    pub fn class_offset(self) -> usize {
        match self {
            Self::AttributesFirst => 4,
            Self::AnchorsFirst => 5,
        }
    }

    /// The number of classes of a row, as far as its extents are known.
    ///
    /// # Errors
    /// A row without two axes, or without a class.
    pub fn classes(self, row: &[Option<usize>]) -> Result<Option<usize>, String> {
        let offset = self.class_offset();
        let attributes = match (self, row) {
            (Self::AttributesFirst, [attributes, _]) | (Self::AnchorsFirst, [_, attributes]) => *attributes,
            _ => return Err(format!("a row has {} axes; choose an output of {}", row.len(), self.shape())),
        };
        match attributes {
            Some(found) if found <= offset => Err(format!(
                "a row has {found} numbers for each anchor, and {offset} come before the classes; choose an output of {}",
                self.shape()
            )),
            found => Ok(found.map(|found| found - offset)),
        }
    }

    /// Checks a row against the number of labels. Without labels, a row with more numbers than anchors counts as
    /// turned round.
    ///
    /// # Errors
    /// Those of [`Self::classes`], and other numbers of labels or anchors.
    pub fn fit(self, row: &[Option<usize>], labels: Option<usize>) -> Result<(), String> {
        let Some(classes) = self.classes(row)? else { return Ok(()) };
        let anchors = match (self, row) {
            (Self::AttributesFirst, [_, anchors]) | (Self::AnchorsFirst, [anchors, _]) => *anchors,
            _ => None,
        };
        match (labels, anchors) {
            (Some(labels), _) if labels != classes => Err(format!(
                "the output has {classes} classes and the file {labels} labels; write one label for each class, or \
                 another head than {:?}",
                self.name()
            )),
            (None, Some(anchors)) if classes + self.class_offset() > anchors && anchors > 0 => Err(format!(
                "the output would have {anchors} anchors and {classes} classes; write another head than {:?}, or labels \
                 = \"…\" with one label for each class",
                self.name()
            )),
            _ => Ok(()),
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::AttributesFirst => "[4 + classes, anchors]",
            Self::AnchorsFirst => "[anchors, 5 + classes]",
        }
    }
}
